"""`tf.train.Example`, the wire form of TFDS records, without TensorFlow or TFDS.

The message is described here at run time from its published definition (tensorflow/core/example/feature.proto and
example.proto), in a descriptor pool of its own, so it cannot clash with the copies that TensorFlow or TFDS register.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_TYPE = descriptor_pb2.FieldDescriptorProto
_VALUE_LISTS = {
    "bytes_list": ("BytesList", _TYPE.TYPE_BYTES),
    "float_list": ("FloatList", _TYPE.TYPE_FLOAT),
    "int64_list": ("Int64List", _TYPE.TYPE_INT64),
}


def _example_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="v2s_jax/example.proto", package="v2s_jax", syntax="proto3")
    feature = descriptor_pb2.DescriptorProto(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (field, (message, kind)) in enumerate(_VALUE_LISTS.items(), 1):
        values = file.message_type.add(name=message)
        values.field.add(name="value", number=1, label=_TYPE.LABEL_REPEATED, type=kind)
        feature.field.add(
            name=field,
            number=number,
            label=_TYPE.LABEL_OPTIONAL,
            type=_TYPE.TYPE_MESSAGE,
            type_name=f".v2s_jax.{message}",
            oneof_index=0,
        )
    file.message_type.append(feature)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=_TYPE.LABEL_OPTIONAL, type=_TYPE.TYPE_STRING)
    _add_message(entry, "value", 2, ".v2s_jax.Feature")
    _add_message(features, "feature", 1, ".v2s_jax.Features.FeatureEntry", _TYPE.LABEL_REPEATED)
    _add_message(file.message_type.add(name="Example"), "features", 1, ".v2s_jax.Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("v2s_jax.Example"))


def _add_message(parent, name, number, type_name, label=_TYPE.LABEL_OPTIONAL) -> None:
    parent.field.add(name=name, number=number, label=label, type=_TYPE.TYPE_MESSAGE, type_name=type_name)


_Example = _example_class()


def parse(data: bytes) -> dict[str, Sequence[Any]]:
    """One record's features by name, each a sequence of bytes, floats or ints.

    Raises:
        google.protobuf.message.DecodeError: `data` is no `tf.train.Example`.
    """
    features = _Example.FromString(data).features.feature
    values = {}
    for name, feature in features.items():
        kind = feature.WhichOneof("kind")
        values[name] = getattr(feature, kind).value if kind else ()
    return values


def serialize(values: Mapping[str, tuple[str, Sequence[Any]]]) -> bytes:
    """The message of features given as name -> (`bytes_list`, `float_list` or `int64_list`, values)."""
    example = _Example()
    for name, (kind, items) in values.items():
        # SetInParent keeps an empty list's kind, as TFDS writes it.
        target = getattr(example.features.feature[name], kind)
        target.SetInParent()
        target.value.extend(items)
    return example.SerializeToString(deterministic=True)

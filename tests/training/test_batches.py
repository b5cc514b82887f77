import dataclasses

import pytest

from v2s_jax.data.metadata import read_metadata, write_metadata
from v2s_jax.errors import V2SError
from v2s_jax.training.batches import check_units


def test_units_beyond_a_systems_table_are_refused_before_training(dataset_dir, tmp_path):
    check_units(str(dataset_dir), 1)  # without any
    metadata = read_metadata(dataset_dir)
    write_metadata(tmp_path, dataclasses.replace(metadata, recipe={"tokens": {"units": {"clusters": 100}}}))
    check_units(f"{dataset_dir},{tmp_path}", 100)
    with pytest.raises(V2SError, match="has units of 100 clusters, but the system knows 50: set"):
        check_units(f"{dataset_dir},{tmp_path}", 50)

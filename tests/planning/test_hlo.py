"""A program's text, small enough to count by hand: a loop of 12 rounds with every way of writing communication."""

from v2s_jax.planning.hlo import Collective, by_kind, read_program, sent

TEXT = """HloModule jit_f, is_scheduled=true

%start (param: bf16[1,512,1024]) -> (bf16[1,512,1024], bf16[1,1024,1024]) {
  %param = bf16[1,512,1024]{2,1,0} parameter(0)
  %ag.1 = bf16[1,1024,1024]{2,1,0:T(8,128)} all-gather(%param), channel_id=9, replica_groups=mesh['a'=2,'b'=4] {'b'}
  ROOT %custom-call = (bf16[1,512,1024]{2,1,0}, bf16[1,1024,1024]{2,1,0}) custom-call(%ag.1)
}

%async_fusion (param.1: bf16[1,512,1024]) -> bf16[1,1024,1024] {
  %param.1 = bf16[1,512,1024]{2,1,0} parameter(0)
  %inner = bf16[8]{0} fusion(%param.1), calls=%add, backend_config={"estimated_cycles":"7"}
  ROOT %ag.2 = bf16[1,1024,1024]{2,1,0} all-gather(%param.1), channel_id=9, replica_groups=mesh['a'=2,'b'=4] {'b'}
}

%all-reduce-scatter.1 (input: f32[64,32]) -> f32[8,32] {
  %input = f32[64,32]{1,0} parameter(0)
  ROOT %all-reduce.6 = f32[64,32]{1,0} all-reduce(%input), channel_id=5, replica_groups={{0,1},{2,3}}, to_apply=%add
}

%body (state: (s32[], f32[64,32])) -> (s32[], f32[64,32]) {
  %state = (s32[], f32[64,32]{1,0}) parameter(0)
  %fusion.1 = bf16[1,512,1024]{2,1,0} fusion(%state), calls=%start, backend_config={"estimated_cycles":"1000"}
  %fusion.2 = bf16[1,1024,1024]{2,1,0} fusion(%fusion.1), kind=kCustom, calls=%async_fusion
  ROOT %fusion.3 = f32[8,32]{1,0} fusion(%fusion.2), kind=kCustom, calls=%all-reduce-scatter.1
}

%condition (state.1: (s32[], f32[64,32])) -> pred[] {
  %state.1 = (s32[], f32[64,32]{1,0}) parameter(0)
  %count = s32[]{:T(128)} constant(12)
  ROOT %less = pred[] compare(%state.1, %count), direction=LT
}

ENTRY %main (x: f32[64,32]) -> f32[64,32] {
  %x = f32[64,32]{1,0} parameter(0)
  %while.1 = (s32[], f32[64,32]{1,0}) while(%x), condition=%condition, body=%body
  %while.2 = s32[] while(%x), condition=%condition, body=%nothing, backend_config={"known_trip_count":{"n":"3"}}
  %all-reduce.9 = (f32[16]{0}, bf16[3]{0}) all-reduce(%x, %x), channel_id=1, replica_groups=[2,4]<=[8], to_apply=%add
  %all-reduce.8 = f32[] all-reduce(%x), channel_id=2, replica_groups={{0},{1}}, to_apply=%add
  %ars = (f32[8]{0}, f32[64]{0}) all-gather-start(%x), channel_id=3, replica_groups={{0,1,2,3,4,5,6,7}}
  ROOT %move = f32[4,4]{1,0} collective-permute(%x), channel_id=4, source_target_pairs={{0,1},{1,0}}
}
"""


def test_everything_counts_as_often_as_it_runs():
    program = read_program(TEXT)
    assert set(program.collectives) == {
        Collective("all-gather", 1024 * 1024 * 2, 4, 12),  # once, though the pieces of its overlap name it twice
        Collective("reduce-scatter", 64 * 32 * 4, 2, 12),
        Collective("all-reduce", 16 * 4 + 3 * 2, 4, 1),
        Collective("all-gather", 64 * 4, 8, 1),
        Collective("collective-permute", 64, 2, 1),
    }
    assert program.cycles == 12 * (1000 + 7)
    assert by_kind(program.collectives)["all-gather"] == (13, 12 * 2**21 + 256)


def test_a_ring_sends_what_it_must():
    assert sent(Collective("all-gather", 800, 8, 1)) == 700  # 7 of 8 parts come from elsewhere
    assert sent(Collective("reduce-scatter", 800, 8, 2)) == 1400
    assert sent(Collective("all-reduce", 800, 8, 1)) == 1400  # both, one after the other
    assert sent(Collective("collective-permute", 800, 2, 1)) == 800

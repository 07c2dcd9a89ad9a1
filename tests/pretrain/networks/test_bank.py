"""What the memories of embeddings hold after some writing."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from onlygood.pretrain.networks.bank import MemoryBank, enqueue


def test_the_memory_takes_a_share_of_the_new() -> None:
    bank = MemoryBank(3, 2, 0.5)
    bank.rows.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
    bank.update(torch.tensor([0, 2]), torch.tensor([[0.0, 1.0], [-1.0, 0.0]]))
    half = math.sqrt(0.5)
    torch.testing.assert_close(bank.rows, torch.tensor([[half, half], [0.0, 1.0], [-1.0, 0.0]]))


@given(st.integers(1, 7), st.lists(st.integers(1, 20), max_size=6))
def test_a_queue_holds_the_last_rows_whatever_the_batches(length: int, batches: list[int]) -> None:
    """Row i ever written stands at place i modulo L, in both of two queues that are written in step."""
    rows, ids, written = torch.full((length, 2), -1.0), torch.full((length,), -1), torch.tensor(0)
    for count in batches:
        new = torch.arange(count) + written
        enqueue(written, (rows, new[:, None].expand(-1, 2).float()), (ids, new))
    total = sum(batches)
    assert written == total
    expected = torch.full((length,), -1)
    for row in range(max(0, total - length), total):
        expected[row % length] = row
    assert torch.equal(ids, expected)
    assert torch.equal(rows, expected[:, None].expand(-1, 2).float())


def test_a_queue_is_written_through_a_view() -> None:
    queue = torch.zeros(2, 3, 1)
    enqueue(torch.tensor(2), (queue.transpose(0, 1), torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]])))
    assert queue[:, :, 0].tolist() == [[3, 0, 1], [4, 0, 2]]

"""MiniLM gives the vectors that PyTorch gives, and the known cosine."""

import numpy as np
import pytest

from job_pages import names_of

pytestmark = pytest.mark.jobs
torch = pytest.importorskip("torch")
PAIR = ["A man is eating food.", "Someone is having a meal."]


def test_words_are_those_of_pytorch():
    names = names_of("sentences")
    encoded = names["tokenizer"].encode_batch(PAIR)
    ids, mask = np.array([e.ids for e in encoded]), np.array([e.attention_mask for e in encoded])
    with torch.no_grad():
        bert = names["BertModel"].from_pretrained(names["folder"]).eval()
        expected = bert(torch.from_numpy(ids), torch.from_numpy(mask))
    words, pooled = names["exe"](ids, mask)
    np.testing.assert_allclose(words, expected.last_hidden_state.numpy(), atol=1e-5)
    np.testing.assert_allclose(pooled, expected.pooler_output.numpy(), atol=1e-5)


def test_the_known_cosine():
    a, b = names_of("sentences")["embed"](PAIR)
    assert abs(a @ b - 0.689) < 0.0005

"""Language models: what is counted of texts, n-grams that sum to one, a GPT that learns, and prompts that go on where scoring stands."""

from __future__ import annotations

import numpy as np
import pytest

from modelyard.decoding.answering import Generator
from modelyard.models import _ngrams, gpt, ngram
from modelyard.models._contract import Clock, Examples
from modelyard.rows import Column, Rows
from modelyard.sampling import Generate
from modelyard.tasks._contract import State

ASKED = State(
    task="text-generation", target="answer", inputs=(Column(name="question", type="text"),), makes="text", width=3
)
FREE = State(
    task="text-generation",
    target="answer",
    inputs=(Column(name="prompt", type="text", missing=1.0),),
    makes="text",
    width=3,
)


def rows(count: int) -> Rows:
    numbers = np.arange(count) % 7
    return Rows(
        {
            "question": np.array([f"what follows {one}?" for one in numbers], dtype=object),
            "prompt": np.array([None] * count, dtype=object),
            "answer": np.array([f"the number {one + 1} follows" for one in numbers], dtype=object),
        },
        count,
    )


def learnt(state: State, *, order: int = 5, count: int = 60) -> tuple[ngram.Part, dict[str, object], object]:
    model = ngram.Part(order=order)
    features = model.features(rows(count), np.zeros(count), state, seed=0)
    examples = Examples(model.encode(rows(count), features), np.zeros(count))
    weights = model.fit(examples, examples, state, features, seed=0, threads=1, clock=Clock())
    return model, features, model.session(weights, features, state)


def test_ngrams_are_a_distribution_at_every_place() -> None:
    _, _, session = learnt(FREE)
    for text in ("", "the num", "zebra", "日本"):
        logits, _ = session.decoder.start(np.array([_ngrams.END, *_ngrams.symbols(text)]))  # type: ignore[attr-defined]
        assert np.exp(logits).sum() == pytest.approx(1.0)
        assert len(logits) == _ngrams.SYMBOLS


def test_scoring_and_continuing_agree() -> None:
    model, features, session = learnt(ASKED)
    some = rows(3)
    scored = session(model.encode(some, features))  # type: ignore[operator]
    decoder = session.decoder  # type: ignore[attr-defined]
    for row, prompt in enumerate(model.prompts(some, features)):
        wanted = [*_ngrams.symbols(some["answer"][row]), _ngrams.END]
        logits, state = decoder.start(np.array(prompt))
        nats = 0.0
        for token in wanted:
            nats -= float(logits[token])
            (logits,), state = decoder.step(np.array([token]), state)
        assert scored[row].tolist() == pytest.approx([nats, len(wanted), len(wanted)])


def test_more_context_predicts_better() -> None:
    nats = []
    for order in (1, 3, 5):
        model, features, session = learnt(ASKED, order=order)
        nats.append(session(model.encode(rows(7), features))[:, 0].sum())  # type: ignore[operator]
    assert nats[0] > 2 * nats[1] > 2 * nats[2]


def test_an_ngram_answers_what_it_was_shown() -> None:
    model, features, session = learnt(ASKED, order=7)
    generator = Generator(model, features, session.decoder, Generate(max_tokens=40))  # type: ignore[attr-defined]
    (answer,) = generator.answers(rows(1))
    assert answer["answer"].startswith("the number")
    assert answer["input_tokens"] == len(b"what follows 0?\n")
    assert (answer["finish_reason"], answer["output_tokens"]) == (
        "length",
        40,
    )  # it sees seven bytes, and goes round in a ring


def test_every_byte_of_a_long_text_is_counted_once() -> None:
    model = gpt.Part(tokenizer="bytes", context=8)
    features = model.features(rows(20), np.zeros(20), FREE, seed=0)
    arrays = model.encode(rows(3), features)
    counted = (arrays["counted"] * arrays["bytes"]).sum(axis=1)
    assert counted.tolist() == [len(text.encode()) + 1 for text in rows(3)["answer"]]
    packed = model.examples(rows(20), np.zeros(20), features, seed=0).arrays
    every = sum(len(text.encode()) + 1 for text in rows(20)["answer"])
    assert (packed["counted"] * packed["bytes"]).sum() == every
    assert packed["ids"].shape[1] == 9
    assert packed["position"].max() <= 8  # a piece begins where the one before ended


def test_a_question_is_read_and_not_learnt() -> None:
    model = gpt.Part(tokenizer="bytes", context=64)
    features = model.features(rows(20), np.zeros(20), ASKED, seed=0)
    arrays = model.encode(rows(1), features)
    told = arrays["ids"][0][arrays["counted"][0] == 1]
    assert model.spell(told.tolist(), features) == "the number 1 follows"


def test_a_gpt_overfits_and_says_so_again() -> None:
    torch = pytest.importorskip("torch")
    from modelyard.sessions._decoders import TorchDecoder

    model = gpt.Part(tokenizer="characters", context=64, layers=2, heads=2, width=32, dropout=0.0)
    features = model.features(rows(20), np.zeros(20), ASKED, seed=0)
    module = model.module(features, ASKED, seed=0)
    arrays = {name: torch.from_numpy(values) for name, values in model.encode(rows(7), features).items()}
    optimiser = torch.optim.AdamW(module.parameters(), lr=3e-3)
    losses = []
    for _ in range(500):
        nats, tokens, _ = module(**arrays).T
        loss = nats.sum() / tokens.sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(np.log(features["size"]), rel=0.1)
    assert losses[-1] < 0.05
    decoder = TorchDecoder(module, ends=model.ends(features))
    generator = Generator(model, features, decoder, Generate(max_tokens=40))
    assert [one["answer"] for one in generator.answers(rows(7))] == rows(7)["answer"].tolist()
    scored = decoder.score(model.encode(rows(7), features))
    with torch.inference_mode():
        np.testing.assert_allclose(scored, module.eval()(**arrays).numpy(), atol=1e-3)


def test_pieces_score_the_same_in_both_ways() -> None:
    torch = pytest.importorskip("torch")
    from modelyard.sessions._decoders import TorchDecoder

    model = gpt.Part(tokenizer="bytes", context=8, layers=1, heads=2, width=16, dropout=0.0)
    features = model.features(rows(20), np.zeros(20), ASKED, seed=0)
    module = model.module(features, ASKED, seed=0).eval()
    arrays = model.encode(rows(5), features)
    with torch.inference_mode():
        whole = module(**{name: torch.from_numpy(values) for name, values in arrays.items()}).numpy()
    np.testing.assert_allclose(TorchDecoder(module, ends=[0]).score(arrays), whole, rtol=1e-4)

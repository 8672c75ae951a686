"""Decoders: the exported graph answers as the network it was made of, row by row, beam by beam, and from several threads at once."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.decoding.sampling import Sampling
from modelyard.decoding.searching import Answers, Search, beam, continued, log_softmax
from modelyard.decoding.together import Together
from modelyard.errors import PackageError
from modelyard.models import _decoder
from modelyard.models._decoder import Shape
from modelyard.rows import Array
from modelyard.sessions import _decoders
from modelyard.sessions._decoders import OpenVinoDecoder, TorchDecoder

torch = pytest.importorskip("torch")
pytest.importorskip("openvino")

SMALL = {"vocabulary": 97, "context": 64, "layers": 2, "heads": 4, "width": 64, "hidden": 64}
SHAPES = {
    "classic": Shape(blocks="classic", kv_heads=4, biases=True, **SMALL),
    "modern": Shape(blocks="modern", kv_heads=2, tied=False, **SMALL),
}


def made(shape: Shape) -> Any:
    """A network whose answers depend on what it has read."""
    torch.manual_seed(0)
    network = _decoder.network()(shape).eval().requires_grad_(False)
    for name, weight in network.named_parameters():
        weight.mul_(6) if weight.dim() > 1 and "tokens" not in name else weight.add_(torch.randn_like(weight) * 0.1)
    return network


@pytest.fixture(scope="module", params=list(SHAPES))
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TorchDecoder, OpenVinoDecoder]:
    from modelyard.compress.methods import _language

    folder, network = tmp_path_factory.mktemp("graph"), made(SHAPES[request.param])
    options = _language.save(_language.stateful(network), folder)
    exported = OpenVinoDecoder(folder, ends=[0], context=SMALL["context"], threads=1, **options)
    return TorchDecoder(network, ends=[0]), exported


@pytest.fixture(params=["torch", "openvino"])
def decoder(request: pytest.FixtureRequest, pair: tuple[TorchDecoder, OpenVinoDecoder]) -> Any:
    return pair[("torch", "openvino").index(request.param)]


def tokens(*lengths: int, seed: int = 0) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.integers(1, SMALL["vocabulary"], length) for length in lengths]


def alone(decoder: Any, ids: Array) -> Array:
    """(V,) what follows a text."""
    logits: Array = decoder.start(ids)[0]
    return logits


def encoded(texts: list[Array], *, prompt: int = 1, width: int = 0) -> dict[str, Array]:
    """As `features.subwords.encode` gives them."""
    lengths = np.array([len(text) for text in texts])
    shape = (len(texts), max(width, int(lengths.max())))
    found = {name: np.zeros(shape, dtype=np.int64) for name in ("ids", "segment", "position", "counted", "bytes")}
    for row, text in enumerate(texts):
        size = len(text)
        found["ids"][row, :size], found["segment"][row, :size] = text, 1
        found["position"][row, :size], found["counted"][row, prompt:size] = np.arange(size), 1
        found["bytes"][row, :size] = text % 4 + 1
    return {**found, "length": lengths}


def test_the_exported_graph_gives_the_networks_logits_token_by_token(
    pair: tuple[TorchDecoder, OpenVinoDecoder],
) -> None:
    (prompt, rest), states = tokens(11, 20), []
    found = [decoder.start(prompt) for decoder in pair]
    for token in rest:
        (one, first), (other, second) = found
        assert np.abs(one - other).max() < 1e-4 * np.abs(one).max()
        stepped = [decoder.step(np.array([token]), state) for decoder, state in zip(pair, (first, second), strict=True)]
        found = [(logits[0], state) for logits, state in stepped]
        states.append(found[0][0])
    assert np.ptp([state.argmax() for state in states]) > 0, "not always the same token"


def test_a_step_gives_what_the_longer_text_gives(decoder: Any) -> None:
    (ids,) = tokens(14)
    _, state = decoder.start(ids[:9])
    for place in range(9, 14):
        logits, state = decoder.step(ids[place : place + 1], state)
        assert np.allclose(logits[0], alone(decoder, ids[: place + 1]), atol=1e-4)


def test_prompts_read_together_go_on_as_each_alone(decoder: Any) -> None:
    prompts, (follow,) = tokens(9, 2, 5), tokens(3, seed=1)
    logits, state = decoder.read(prompts)
    after, state = decoder.step(follow, state)
    again, _ = decoder.step(follow[::-1], state)
    for row, prompt in enumerate(prompts):
        longer = np.append(prompt, follow[row])
        assert np.allclose(logits[row], alone(decoder, prompt), atol=1e-4)
        assert np.allclose(after[row], alone(decoder, longer), atol=1e-4)
        assert np.allclose(again[row], alone(decoder, np.append(longer, follow[::-1][row])), atol=1e-4)


def test_picked_rows_go_on_from_what_they_were_picked_from(decoder: Any) -> None:
    prompts, (first, second) = tokens(6, 4), tokens(3, 2, seed=2)
    _, state = decoder.read(prompts)
    state = decoder.pick(decoder.pick(state, np.array([1, 0])), np.array([1, 0, 0]))  # rows 0, 1, 1
    logits, state = decoder.step(first, state)
    texts = [np.append(prompts[row], token) for row, token in zip((0, 1, 1), first, strict=True)]
    for row, text in enumerate(texts):
        assert np.allclose(logits[row], alone(decoder, text), atol=1e-4)
    logits, _ = decoder.step(second, decoder.pick(state, np.array([2, 0])))
    for row, source in enumerate((2, 0)):
        assert np.allclose(logits[row], alone(decoder, np.append(texts[source], second[row])), atol=1e-4)


def test_a_long_prompt_is_read_in_pieces(decoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = tokens(30, 21)
    whole, _ = decoder.read(prompts)
    monkeypatch.setattr(_decoders, "PLACES", 8)
    pieces, state = decoder.read(prompts)
    assert np.allclose(pieces, whole, atol=1e-4)
    (follow,) = tokens(2, seed=3)
    logits, _ = decoder.step(follow, state)
    assert np.allclose(logits[1], alone(decoder, np.append(prompts[1], follow[1])), atol=1e-4)


def test_a_prompt_may_be_read_in_turns_of_ones_own(decoder: Any) -> None:
    (prompt,), (follow,) = tokens(23), tokens(1, seed=3)
    logits, state = decoder.start(prompt[:9])
    logits, state = decoder.more(prompt[9:17], state)
    logits, state = decoder.more(prompt[17:], state)
    after, _ = decoder.step(follow, state)
    assert np.allclose(logits, alone(decoder, prompt), atol=1e-4)
    assert np.allclose(after[0], alone(decoder, np.append(prompt, follow)), atol=1e-4)


def test_joined_states_go_on_as_each_alone(decoder: Any) -> None:
    """Of different lengths, with rows picked and gone in between, joined again and again; a decoder without the masks fails here."""
    prompts, rng = tokens(4, 15, 9, 21, seed=5), np.random.default_rng(5)
    texts: list[Array] = []
    state: Any = None
    for number, prompt in enumerate(prompts):
        _, fresh = decoder.start(prompt)
        state = fresh if state is None else decoder.join([state, fresh])
        texts.append(prompt)
        if number == 2:
            kept = np.array([2, 0])  # the longest leaves: its places need not be kept
            state, texts = decoder.pick(state, kept), [texts[row] for row in kept]
        for _ in range(3):
            ids = rng.integers(1, SMALL["vocabulary"], len(texts))
            logits, state = decoder.step(ids, state)
            texts = [np.append(text, token) for text, token in zip(texts, ids, strict=True)]
            for row, text in enumerate(texts):
                assert np.allclose(logits[row], alone(decoder, text), atol=1e-4)
    assert len({len(text) for text in texts}) > 1


@pytest.mark.parametrize("cache", ["fp16", "int8"])
def test_a_join_rounds_nothing_a_second_time(cache: Any, tmp_path: Path) -> None:
    """Keys and values of fewer bits are copied as they are, up to the last bit of fp32."""
    from modelyard.compress.methods import _language

    options = _language.save(_language.stateful(made(SHAPES["modern"])), tmp_path)
    decoder = OpenVinoDecoder(tmp_path, ends=[0], context=64, threads=1, **{**options, "cache": cache})
    prompts, (follow,) = tokens(9, 15), tokens(2, seed=1)
    logits, _ = decoder.step(follow, decoder.join([decoder.start(prompt)[1] for prompt in prompts]))
    for row, prompt in enumerate(prompts):
        expected, _ = decoder.step(follow[row : row + 1], decoder.start(prompt)[1])
        assert np.abs(logits[row] - expected[0]).max() < 1e-5 * np.abs(expected).max()


def test_answers_written_together_are_those_written_alone(decoder: Any) -> None:
    """Greedy tokens and beams of a real network, joining one after another and leaving when they are done."""
    prompts = tokens(3, 17, 8, 12, seed=7)
    rooms = [25, 6, 14, 30]
    joint, lines = Together[int](decoder), dict[int, Any]()
    found: dict[int, list[Any]] = {number: [] for number in range(4)}

    def told(number: int, given: Any) -> None:
        found[number] += [token.id for token in (given or {}).values() if token is not None]

    turn = 0
    while turn < 10 or any(line.going for line in lines.values() if isinstance(line, Answers)):
        if turn % 3 == 0 and turn // 3 < 4:
            number = turn // 3
            prompt, most = prompts[number], rooms[number]
            rngs = [np.random.default_rng(0)]
            lines[number] = (
                Search(decoder, prompt, beams=3, most=most)
                if number == 2
                else Answers(decoder, prompt, Sampling(temperature=0), most=most, rngs=rngs)
            )
            logits, state = decoder.start(prompt)
            told(number, lines[number].begin(logits))
            joint.join(number, state, length=len(prompt))
        going = {
            number: line.move()
            for number, line in lines.items()
            if (line.going if isinstance(line, Answers) else line.found is None)
        }
        for number, logits in joint.step(going).items():
            told(number, lines[number].take(logits))
        turn += 1
    while lines[2].found is None:
        lines[2].take(joint.step({2: lines[2].move()})[2])
    found[2] = lines[2].found.ids
    for number, (prompt, most) in enumerate(zip(prompts, rooms, strict=True)):
        rng = np.random.default_rng(0)
        drawn = [token.id for token in continued(decoder, prompt, Sampling(temperature=0), most=most, rng=rng)]
        assert found[number] == (beam(decoder, prompt, beams=3, most=most) if number == 2 else drawn)
        assert len(found[number]) > 1


def test_both_know_what_a_token_takes(pair: tuple[TorchDecoder, OpenVinoDecoder]) -> None:
    _, state = pair[0].start(tokens(10)[0])
    assert [decoder.token_bytes * 10 for decoder in pair] == [sum(part.nbytes for part in state.held)] * 2


def test_places_that_no_row_needs_go_with_a_join(decoder: Any) -> None:
    _, state = decoder.read(tokens(20, 6))
    assert decoder.pick(state, np.array([1])).mask.shape == (1, 20)
    shorter = decoder.join([decoder.pick(state, np.array([1]))])
    assert shorter.mask.shape == (1, 6) and shorter.mask.all()
    (follow,) = tokens(1, seed=1)
    logits, _ = decoder.step(follow, shorter)
    assert np.allclose(logits[0], alone(decoder, np.append(tokens(20, 6)[1], follow)), atol=1e-4)


def test_answers_at_the_same_time_do_not_mix(decoder: Any) -> None:
    prompts = tokens(5, 8, 11, 6)
    given: dict[int, list[int]] = {}

    def answer(number: int) -> None:
        logits, state = decoder.start(prompts[number])
        given[number] = [int(logits.argmax())]
        for _ in range(12):
            rows, state = decoder.step(np.array([given[number][-1]]), state)
            given[number].append(int(rows[0].argmax()))

    for number in range(4):
        answer(number)
    one_by_one, given = given, {}
    threads = [threading.Thread(target=answer, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert given == one_by_one and len({tuple(ids) for ids in given.values()}) > 1


def test_a_request_serves_the_next_answer_when_its_own_is_forgotten(pair: tuple[TorchDecoder, OpenVinoDecoder]) -> None:
    _, decoder = pair
    (ids,) = tokens(7)
    expected, state = decoder.start(ids)
    gc.collect()
    free = len(decoder._free)
    _, other = decoder.step(ids[:1], decoder.pick(state, np.array([0])))
    with pytest.raises(AssertionError, match="once"):
        decoder.step(ids[:1], state)
    assert len(decoder._free) == free
    del state, other
    gc.collect()
    assert len(decoder._free) == free + 1
    assert np.array_equal(decoder.start(ids)[0], expected), "nothing is left of the answer before"


@pytest.mark.parametrize("prompt", [1, 3])
def test_scores_are_the_sums_of_each_step(decoder: Any, prompt: int) -> None:
    texts = tokens(12, 5, 33, 20, 4)
    arrays = encoded(texts, prompt=prompt, width=40)
    found = decoder.score(arrays)
    assert found.shape == (5, 3) and found.dtype == np.float64
    for row, text in enumerate(texts):
        logs = [log_softmax(alone(decoder, text[:place]))[text[place]] for place in range(prompt, len(text))]
        assert found[row, 0] == pytest.approx(-sum(logs), rel=1e-4)
        assert found[row, 1] == len(text) - prompt and found[row, 2] == (text[prompt:] % 4 + 1).sum()


def test_scores_are_the_trained_networks(pair: tuple[TorchDecoder, OpenVinoDecoder]) -> None:
    arrays = encoded(tokens(12, 5, 33, 20))
    tensors = {name: torch.from_numpy(values) for name, values in arrays.items()}
    expected = pair[0].network(**tensors).numpy()
    for decoder in pair:
        assert np.allclose(decoder.score(arrays), expected, rtol=1e-4)


def test_scoring_in_small_pieces_gives_the_same(decoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = encoded(tokens(40, 7, 33, 2))
    whole = decoder.score(arrays)
    monkeypatch.setattr(_decoders, "LOGITS", 9 * SMALL["vocabulary"])
    assert np.allclose(decoder.score(arrays), whole, rtol=1e-5)


def test_texts_that_share_a_row_are_scored_apart(decoder: Any) -> None:
    first, second, third = tokens(9, 14, 6)
    one, two = encoded([first, second]), encoded([third])
    width = 32
    joined = {name: np.zeros((2, width), dtype=np.int64) for name in ("ids", "segment", "position", "counted", "bytes")}
    for name, values in joined.items():
        values[0, :9], values[0, 9:23] = one[name][0, :9], one[name][1, :14] * (2 if name == "segment" else 1)
        values[1, :6] = two[name][0, :6]
    found = decoder.score({**joined, "length": np.array([23, 6])})
    assert np.allclose(found, [decoder.score(one).sum(axis=0), decoder.score(two)[0]], rtol=1e-5)


def test_keys_and_values_are_joined_and_attended_in_one_operation(pair: tuple[TorchDecoder, OpenVinoDecoder]) -> None:
    _, decoder = pair
    types = [each.get_rt_info()["layerType"].astype(str) for each in decoder._compiled.get_runtime_model().get_ops()]
    assert types.count("ScaledDotProductAttention") == SMALL["layers"]
    assert types.count("MemoryInput") == 2 * SMALL["layers"]
    assert types.count("Concatenation") <= 3, "past and present are not joined by copying"
    rotary = pair[0].network.shape.blocks == "modern"
    assert types.count("RoPE") == (SMALL["layers"] if rotary else 0), "turning queries and keys is one operation too"


@pytest.mark.parametrize("bits", ["int8", "int4"])
def test_weights_of_fewer_bits_lose_little(bits: Any, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    from modelyard.compress.methods import _language

    network = made(SHAPES["modern"])
    graph = _language.stateful(network)
    options = _language.save(_language.light(graph.clone(), bits), tmp_path)
    assert options["group"] > 0, "activations are rounded where weights are integers"
    lighter = OpenVinoDecoder(tmp_path, ends=[0], context=SMALL["context"], threads=1, **options)
    arrays = encoded(tokens(30, 30, 30, 30))
    exact, found = TorchDecoder(network, ends=[0]).score(arrays), lighter.score(arrays)
    lost = np.abs(found[:, 0] - exact[:, 0]).sum() / exact[:, 1].sum()
    assert 1e-6 < lost < {"int8": 0.05, "int4": 0.5}[bits]
    whole = sum(weight.numel() for weight in network.parameters()) * 4
    assert (tmp_path / "model.bin").stat().st_size < {"int8": 0.35, "int4": 0.3}[bits] * whole


def test_the_same_network_gives_the_same_files(tmp_path: Path) -> None:
    from modelyard.compress.methods import _language

    network, places = made(SHAPES["modern"]), [tmp_path / "one", tmp_path / "two"]
    for place in places:
        place.mkdir()
        _language.save(_language.stateful(network), place)
    for file in ("model.xml", "model.bin"):
        assert (places[0] / file).read_bytes() == (places[1] / file).read_bytes()


def test_what_is_no_graph_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_text("<net/>")
    with pytest.raises(PackageError, match="is not a graph"):
        OpenVinoDecoder(tmp_path, ends=[0], context=8)

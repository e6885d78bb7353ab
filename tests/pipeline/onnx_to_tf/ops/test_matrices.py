"""Products: ranks, types, unknown axes, old opsets."""

import numpy as np
import pytest

pytestmark = pytest.mark.slow

HEADER = '<ir_version: 8, opset_import: ["" : {opset}]>\n'


def graph(text, opset=17):
    return HEADER.format(opset=opset) + text


def numbers(*shape, dtype=np.float32):
    return np.random.default_rng(0).integers(-5, 6, size=shape).astype(dtype)


MAT_MULS = [((4,), (4,)), ((4,), (4, 3)), ((2, 4), (4,)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)),
            ((4,), (2, 4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((2, 5, 3, 4), (4,))]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), MAT_MULS)
def test_mat_mul_of_unknown_axes(check, a, b):
    names = iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    sizes = [",".join(next(names) for _ in shape) for shape in (a, b)]
    rank = np.matmul(np.zeros(a), np.zeros(b)).ndim
    output = f"[{','.join(next(names) for _ in range(rank))}]" if rank else ""
    text = graph(f"g (float[{sizes[0]}] a, float[{sizes[1]}] b) => (float{output} y) {{ y = MatMul(a, b) }}")
    check(text, {"a": numbers(*a), "b": numbers(*b)})


@pytest.mark.parametrize("kind", ["int32", "int64", "uint32", "uint64", "double"])
def test_types_of_mat_mul(check, kind):
    dtype = np.float64 if kind == "double" else np.dtype(kind)
    text = graph(f"g ({kind}[A, B] a, {kind}[B, C] b) => ({kind}[A, C] y) {{ y = MatMul(a, b) }}")
    check(
        text, {"a": numbers(2, 4, dtype=np.int64).astype(dtype), "b": abs(numbers(4, 3, dtype=np.int64)).astype(dtype)}
    )


def test_mat_mul_with_weights(check):
    values = ", ".join(map(str, range(12)))
    text = graph(f"g (float[B, S, 4] x) => (float[B, S, 3] y) <float[4, 3] w = {{{values}}}> {{ y = MatMul(x, w) }}")
    check(text, {"x": numbers(2, 5, 4)}, {"x": numbers(1, 2, 4)}, tflite=True)


@pytest.mark.parametrize("c", ["", "[3]", "[1, 3]", "[A, 1]", "[A, 3]", "[1]"])
@pytest.mark.parametrize("transposed", [(0, 0), (1, 1), (1, 0)])
def test_gemm(check, c, transposed):
    a, b = transposed
    text = graph(f"g (float[{'K, A' if a else 'A, K'}] a, float[{'3, K' if b else 'K, 3'}] b, float{c} c) => "
                 "(float[A, 3] y) "
                 f"{{ y = Gemm<transA={a}, transB={b}, alpha=0.5>(a, b, c) }}")  # fmt: skip
    sizes = {"": (), "[3]": (3,), "[1, 3]": (1, 3), "[A, 1]": (2, 1), "[A, 3]": (2, 3), "[1]": (1,)}[c]
    check(
        text, {"a": numbers(*((4, 2) if a else (2, 4))), "b": numbers(*((3, 4) if b else (4, 3))), "c": numbers(*sizes)}
    )


def test_gemm_without_scales_and_with_weights(check):
    values = ", ".join(map(str, range(12)))
    text = graph(
        f"""g (float[N, 4] x) => (float[N, 3] y) <float[3, 4] w = {{{values}}}, float[3] b = {{1, 2, 3}}>
        {{ y = Gemm<transB=1>(x, w, b) }}"""
    )
    check(text, {"x": numbers(2, 4)}, tflite=True)


def test_gemm_of_opset_6(check):
    text = graph(
        "g (float[N, 4] x, float[4, 3] w, float[3] b) => (float[N, 3] y) { y = Gemm<broadcast=1>(x, w, b) }", 6
    )
    check(text, {"x": numbers(2, 4), "w": numbers(4, 3), "b": numbers(3)}, reference=True)


EQUATIONS = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    ("bhid,bhjd->bhij", (2, 3, 4, 5), (2, 3, 6, 5)),
    ("bhij,bhjd->bihd", (2, 3, 4, 5), (2, 3, 5, 6)),
    ("bsd,dhk->bhsk", (2, 3, 4), (4, 5, 6)),
    ("ij,j->ij", (2, 3), (3,)),
    ("i,j->ij", (2,), (3,)),
    ("i,i", (3,), (3,)),
    ("ij,kl->jl", (2, 3), (4, 5)),
    ("...ij,...jk->...ik", (2, 3, 4), (1, 4, 5)),
    ("...ij,...jk", (1, 3, 4), (6, 4, 5)),
    ("b...d,d->b...", (2, 3, 5, 4), (4,)),
    ("bij,kj->bki", (1, 2, 3), (4, 3)),
    ("nchw,nvw->ncvh", (2, 3, 4, 5), (2, 6, 5)),
]


@pytest.mark.parametrize("axes", ["known", "unknown"])
@pytest.mark.parametrize(("equation", "a", "b"), EQUATIONS)
def test_einsum(check, equation, a, b, axes):
    names = iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    # A size of 1 is known, or nobody could tell that it broadcasts.
    size = lambda n: str(n) if axes == "known" or n == 1 else next(names)  # noqa: E731
    rank = np.einsum(equation, np.zeros(a), np.zeros(b)).ndim
    output = f"[{','.join('STUVWXYZ'[:rank])}]" if rank else ""
    text = graph(f"g (float[{','.join(map(size, a))}] a, float[{','.join(map(size, b))}] b) => (float{output} y) "
                 f'{{ y = Einsum<equation="{equation}">(a, b) }}')  # fmt: skip
    check(text, {"a": numbers(*a), "b": numbers(*b)}, tflite=axes == "known")


@pytest.mark.parametrize(("equation", "shape"), [("ij->ji", (2, 3)), ("...ii->...i", (2, 3, 3)), ("ii", (3, 3)),
                                                 ("ijk->j", (2, 3, 4)), ("iij->j", (3, 3, 4))])  # fmt: skip
def test_einsum_of_one(check, equation, shape):
    rank = np.einsum(equation, np.zeros(shape)).ndim
    output = f"[{','.join('STUV'[:rank])}]" if rank else ""
    text = graph(f"g (float[{','.join('ABC'[: len(shape)])}] a) => (float{output} y) "
                 f'{{ y = Einsum<equation="{equation}">(a) }}')  # fmt: skip
    check(text, {"a": numbers(*shape)})


def test_einsum_of_three(check):
    text = graph('g (float[A, B] a, float[B, C] b, float[C, D] c) => (float[A, D] y) '
                 '{ y = Einsum<equation="ij, jk, kl -> il">(a, b, c) }')  # fmt: skip
    check(text, {"a": numbers(2, 3), "b": numbers(3, 4), "c": numbers(4, 5)})


@pytest.mark.parametrize("kind", ["int32", "int64", "double"])
def test_types_of_einsum(check, kind):
    dtype = np.float64 if kind == "double" else np.dtype(kind)
    text = graph(f'g ({kind}[A, B] a, {kind}[B, C] b) => ({kind}[A, C] y) {{ y = Einsum<equation="ij,jk->ik">(a, b) }}')
    check(text, {"a": numbers(2, 4, dtype=dtype), "b": numbers(4, 3, dtype=dtype)})


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_determinants(check, size):
    text = graph(f"g (float[B, {size}, {size}] x) => (float[B] y) {{ y = Det(x) }}")
    check(text, {"x": numbers(3, size, size)}, rtol=1e-4, atol=1e-3, tflite=size < 4)

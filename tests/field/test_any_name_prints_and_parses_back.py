"""An input may have any name, that of a node in the text included."""

from hypothesis import given
from hypothesis import strategies as st

from minicc.graph.ir import Graph, input, make
from minicc.graph.text import parse
from minicc.ops import Add, Relu
from minicc.types import TensorType, float32

NAMES = st.text(min_size=1, max_size=4, alphabet="%01x'\"\\\n\t =,()[]{}:@#|é ")


@given(
    st.lists(st.one_of(st.sampled_from(["%0", "%1", "return", "graph"]), NAMES), min_size=4, max_size=4, unique=True)
)
def test_names_round_trip(names):
    a, b = (input(name, TensorType(float32, (2,))) for name in names[:2])
    total = make(Add(), [a, make(Relu(), [b])])
    graph = Graph(names[2], (a, b), (total,), (names[3],))
    again = parse(str(graph))
    assert (
        str(again) == str(graph) and again.input_names == graph.input_names and again.output_names == graph.output_names
    )

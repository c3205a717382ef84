#!/usr/bin/env python3
"""What TF-IDF with a linear model makes of the rows of `tunesmith data split`: the least that a tuned model has to beat.

usage: baselines.py SPLIT [--text text] [--label label] [--score score]
  SPLIT      a folder with train.jsonl and test.jsonl (valid.jsonl is not looked at)
prints one JSON object: of --label logistic regression's accuracy and macro F1, of --score ridge regression's R2, Pearson and Spearman,
each for words alone and for words with pairs of them. Needs scikit-learn and scipy.
"""
import argparse, json, os
from scipy.stats import pearsonr, spearmanr
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, f1_score, r2_score

ap = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
ap.add_argument("split")
ap.add_argument("--text", default="text")
ap.add_argument("--label", default="label")
ap.add_argument("--score", default="score")
a = ap.parse_args()


def rows(part):
    with open(os.path.join(a.split, part + ".jsonl"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


train, test = rows("train"), rows("test")
found = {"num_train": len(train), "num_test": len(test)}
for words in (1, 2):
    vectors = TfidfVectorizer(ngram_range=(1, words), min_df=2, sublinear_tf=True)
    known, new = vectors.fit_transform([r[a.text] for r in train]), vectors.transform([r[a.text] for r in test])
    figures = {}
    if a.label in train[0]:
        right = [r[a.label] for r in test]
        said = LogisticRegression(max_iter=2000, C=4).fit(known, [r[a.label] for r in train]).predict(new)
        figures |= {"accuracy": accuracy_score(right, said), "macro_f1": f1_score(right, said, average="macro")}
    if a.score in train[0]:
        right = [float(r[a.score]) for r in test]
        said = Ridge(alpha=1.0).fit(known, [float(r[a.score]) for r in train]).predict(new)
        figures |= {"r2": r2_score(right, said), "pearson": pearsonr(right, said)[0], "spearman": spearmanr(right, said)[0]}
    found["words" if words == 1 else "words and pairs"] = {name: round(float(x), 4) for name, x in figures.items()}
print(json.dumps(found))

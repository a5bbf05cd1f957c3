"""How often the class layer of the weights that made a feature file is right, by class and away from cuts.

Usage: python benchmarks/class_layer.py FEATURES LABELS, as in: demo.h5 demo/groundTruth
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from machine import save

from lcdc_extract import open_features
from lcdc_extract.labels import read_labels
from lcdc_extract.picture import find_classifier
from lcdc_extract.score import label_rows

FAR_FROM_CUTS = 10
"""Rows."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("features", type=Path)
    options.add_argument("labels", type=Path)
    given = options.parse_args()
    names, known = read_labels(given.labels)
    right, truth, distance = [], [], []
    with open_features(given.features) as file:
        made_by = file.attributes
        classifier = find_classifier(made_by)
        if classifier.names != names:
            options.error(f"the weights have the classes {classifier.names}, the labels {names}")
        rows = label_rows(file, known, list(file))
    for video, labels in rows.labels.items():
        right.append(classifier.probabilities(rows.features[video]).values.argmax(axis=1) == labels)
        truth.append(labels)
        cuts = np.flatnonzero(np.diff(labels)) + 1
        distance.append(np.abs(np.arange(len(labels))[:, None] - cuts).min(axis=1))
    hit, label, far = (np.concatenate(parts) for parts in (right, truth, distance))
    found = {
        "rows": len(hit),
        "accuracy": float(hit.mean() * 100),
        "accuracy_far_from_cuts": float(hit[far >= FAR_FROM_CUTS].mean() * 100),
        "most_common_class": float(np.bincount(label).max() / len(label) * 100),
        "by_class": {name: float(hit[label == number].mean() * 100) for number, name in enumerate(names)},
    }
    print(found)
    print(save("class_layer", {"weights": made_by["weights_sha256"], **found}))


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""Makes the pictures and reference.json: what scikit-image and OpenCV say of
them. Needs python3-skimage and python3-opencv; run it in this folder."""

import json

import cv2
import numpy as np
from skimage.metrics import structural_similarity

# Sets of ORB parameters: those that Defaults gives, and OpenCV's own.
PARAMETERS = {
    "defaults": dict(nfeatures=150, scaleFactor=1.2, nlevels=4, edgeThreshold=8, fastThreshold=7),
    "opencv": dict(nfeatures=500, scaleFactor=1.2, nlevels=8, edgeThreshold=31, fastThreshold=20),
    "few": dict(nfeatures=40, scaleFactor=1.5, nlevels=3, edgeThreshold=3, fastThreshold=5),
}


def blocks(height, width, seed, shift=0):
    """A bench with boxes, discs and a grid, drawn without antialiasing."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([90 + 60 * x / width, 100 + 50 * y / height, 120 + 0 * x], axis=-1)
    for k in range(14):
        colour = rng.integers(0, 256, 3)
        cx, cy = rng.uniform(0, width), rng.uniform(0, height)
        r = rng.uniform(0.04, 0.14) * width
        moved = shift if k % 2 else 0
        if k % 3:
            inside = (abs(x - cx - moved) < r) & (abs(y - cy) < 0.7 * r)
        else:
            inside = (x - cx - moved) ** 2 + (y - cy) ** 2 < r * r
        picture[inside] = colour
    picture[(x % 23 == 5) & (y > 0.75 * height)] *= 0.5
    return picture.clip(0, 255).astype(np.uint8)


def waves(height, width):
    y, x = np.mgrid[0:height, 0:width]
    f = 127 + 60 * np.sin(x / 3.1 + 0.02 * y * y) + 60 * np.cos(y / 4.7 - x / 11)
    return np.stack([f, 255 - f, 0.5 * f], axis=-1).clip(0, 255).astype(np.uint8)


def noisy(picture, sigma, seed):
    noise = np.random.default_rng(seed).normal(0, sigma, picture.shape)
    return (picture + noise).clip(0, 255).astype(np.uint8)


def turned(picture, degrees):
    height, width = picture.shape[:2]
    m = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(picture, m, (width, height), borderMode=cv2.BORDER_REFLECT)


def pictures():
    bench = blocks(96, 96, 1)
    wide = blocks(120, 160, 2)
    large = blocks(224, 224, 3)
    return {
        "bench": bench,
        "bench_moved": blocks(96, 96, 1, shift=6),
        "bench_noisy": noisy(bench, 4, 5),
        "bench_turned": turned(bench, 20),
        "waves": waves(96, 96),
        "wide": wide,
        "wide_moved": blocks(120, 160, 2, shift=9),
        "large": large,
        "large_turned": turned(large, -35),
        "flat": np.full((96, 96, 3), 77, np.uint8),
        "small": blocks(24, 40, 4),
    }


PAIRS = [
    ("bench", "bench"), ("bench", "bench_moved"), ("bench", "bench_noisy"), ("bench", "bench_turned"),
    ("bench", "waves"), ("bench", "flat"), ("wide", "wide_moved"), ("large", "large_turned"), ("large_turned", "large"),
    ("flat", "flat"), ("small", "small"),
]


def main():
    rgb = pictures()
    grey = {name: cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for name, p in rgb.items()}
    out = {"opencv": cv2.__version__, "parameters": PARAMETERS, "grey": {}, "pairs": [], "orb": []}
    for name, p in rgb.items():
        cv2.imwrite(name + ".png", cv2.cvtColor(p, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])
        g = grey[name].astype(np.int64)
        at = np.arange(1, g.size + 1).reshape(g.shape)
        out["grey"][name] = [int(g.sum()), int((g * (at % 8191)).sum())]
    described = {}
    for setting, parameters in PARAMETERS.items():
        orb = cv2.ORB_create(**parameters)
        for name, g in grey.items():
            points, descriptors = orb.detectAndCompute(g, None)
            described[setting, name] = descriptors
            out["orb"].append({
                "parameters": setting, "picture": name,
                "keypoints": [[round(k.pt[0], 4), round(k.pt[1], 4), k.octave, round(k.angle, 4), float("%.6g" % k.response)] for k in points],
                "descriptors": [] if descriptors is None else [d.tobytes().hex() for d in descriptors],
            })
    for a, b in PAIRS:
        ga, gb = grey[a], grey[b]
        pair = {"a": a, "b": b, "mse": float(((rgb[a].astype(float) - rgb[b]) ** 2).mean()), "orb": {}}
        pair["ssim"] = float(structural_similarity(ga, gb, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255))
        for setting in PARAMETERS:
            da, db = described[setting, a], described[setting, b]
            if da is None or db is None:
                pair["orb"][setting] = 0.0
                continue
            matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(da, db)
            pair["orb"][setting] = len(matches) / min(len(da), len(db))
        out["pairs"].append(pair)
    with open("reference.json", "w") as f:
        f.write("{\n")
        for key in ("opencv", "parameters", "grey"):
            f.write(f'"{key}": {json.dumps(out[key])},\n')
        for key in ("pairs", "orb"):
            rows = ",\n".join(json.dumps(r, separators=(",", ":")) for r in out[key])
            f.write(f'"{key}": [\n{rows}\n]' + (",\n" if key == "pairs" else "\n"))
        f.write("}\n")


main()

#!/usr/bin/env python3
"""Exports networks with random weights from PyTorch, with inputs and outputs.

    export.py [--seed N] [--opset N] [--full] [--only NET] DIR

writes DIR/NET/model.onnx and DIR/NET/test_data_set_*/input_*.pb and
output_*.pb, laid out as the ONNX project's own tests are. The folders beside
this script were written by `export.py .` (PyTorch 1.13). It needs torch only.
"""
import argparse
import math
import pathlib

import torch
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    """Self-attention whose queries, keys and values come from one product."""

    def __init__(self, d, heads):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(d, 3 * d), nn.Linear(d, d)

    def forward(self, x):
        b, t, d = x.shape
        qkv = self.qkv(x).reshape(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        a = (q @ k.transpose(-2, -1)) * (d // self.heads) ** -0.5
        return self.out((a.softmax(dim=-1) @ v).transpose(1, 2).reshape(b, t, d))


class Multihead(nn.Module):
    """Self-attention as torch.nn has it."""

    def __init__(self, d, heads):
        super().__init__()
        self.inner = nn.MultiheadAttention(d, heads, batch_first=True)

    def forward(self, x):
        return self.inner(x, x, x, need_weights=False)[0]


class Block(nn.Module):
    def __init__(self, attention, d, heads):
        super().__init__()
        self.norm1, self.attention, self.norm2 = nn.LayerNorm(d), attention(d, heads), nn.LayerNorm(d)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """Gives the tokens behind the last norm, and the head's answer."""

    def __init__(self, attention, size, patch, d, depth, heads, classes):
        super().__init__()
        self.patch = nn.Conv2d(3, d, patch, patch)
        self.first = nn.Parameter(torch.randn(1, 1, d))
        self.position = nn.Parameter(torch.randn(1, 1 + (size // patch) ** 2, d))
        self.blocks = nn.Sequential(*[Block(attention, d, heads) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(d, eps=1e-6), nn.Linear(d, classes)

    def forward(self, image):
        x = self.patch(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], dim=1) + self.position
        x = self.norm(self.blocks(x))
        return x, self.head(x[:, 0])


class Basic(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.short = None
        if stride != 1 or i != o:
            self.short = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.short is None else self.short(x)))


class ResNet(nn.Module):
    def __init__(self, width, stages, blocks, classes):
        super().__init__()
        layers, i = [nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], width
        for s in range(stages):
            for b in range(blocks):
                o = width << s
                layers.append(Basic(i, o, 2 if s > 0 and b == 0 else 1))
                i = o
        self.body, self.head = nn.Sequential(*layers), nn.Linear(i, classes)

    def forward(self, image):
        return self.head(torch.flatten(F.adaptive_avg_pool2d(self.body(image), 1), 1))


class Squeeze(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.down, self.up = nn.Conv2d(c, max(4, c // 4), 1), nn.Conv2d(max(4, c // 4), c, 1)

    def forward(self, x):
        return x * F.hardsigmoid(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))


class Inverted(nn.Module):
    """An inverted residual: wider, depthwise, narrower."""

    def __init__(self, i, o, kernel, stride, activation, squeeze):
        super().__init__()
        h = 4 * i
        layers = [nn.Conv2d(i, h, 1, bias=False), nn.BatchNorm2d(h), activation(),
                  nn.Conv2d(h, h, kernel, stride, kernel // 2, groups=h, bias=False), nn.BatchNorm2d(h), activation()]
        if squeeze:
            layers.append(Squeeze(h))
        self.body = nn.Sequential(*layers, nn.Conv2d(h, o, 1, bias=False), nn.BatchNorm2d(o))
        self.add = stride == 1 and i == o

    def forward(self, x):
        return x + self.body(x) if self.add else self.body(x)


class MobileNet(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        w = width
        self.body = nn.Sequential(
            nn.Conv2d(3, w, 3, 2, 1, bias=False), nn.BatchNorm2d(w), nn.Hardswish(),
            Inverted(w, w, 3, 1, nn.ReLU6, False),
            Inverted(w, 2 * w, 5, 2, nn.ReLU, True),
            Inverted(2 * w, 2 * w, 5, 1, nn.Hardswish, True),
            Inverted(2 * w, 3 * w, 3, 2, nn.Hardswish, False))
        self.head = nn.Sequential(nn.Linear(3 * w, 4 * w), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(4 * w, classes))

    def forward(self, image):
        return self.head(F.adaptive_avg_pool2d(self.body(image), 1).flatten(1))


class TextLayer(nn.Module):
    """A post-norm block with a mask."""

    def __init__(self, d, heads):
        super().__init__()
        self.heads, self.scale = heads, math.sqrt(d // heads)
        self.query, self.key, self.value, self.out = (nn.Linear(d, d) for _ in range(4))
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
        self.norm1, self.norm2 = nn.LayerNorm(d, eps=1e-12), nn.LayerNorm(d, eps=1e-12)

    def split(self, x):
        return x.view(x.size(0), x.size(1), self.heads, -1).permute(0, 2, 1, 3)

    def forward(self, x, mask):
        q, k, v = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        a = torch.matmul(q, k.transpose(-1, -2)) / self.scale + mask
        y = torch.matmul(F.softmax(a, dim=-1), v).permute(0, 2, 1, 3).contiguous()
        x = self.norm1(x + self.out(y.view(y.size(0), y.size(1), -1)))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class Text(nn.Module):
    def __init__(self, words, positions, d, depth, heads):
        super().__init__()
        self.words, self.positions, self.kinds = nn.Embedding(words, d), nn.Embedding(positions, d), nn.Embedding(2, d)
        self.register_buffer("numbers", torch.arange(positions).unsqueeze(0))
        self.norm = nn.LayerNorm(d, eps=1e-12)
        self.layers = nn.ModuleList(TextLayer(d, heads) for _ in range(depth))
        self.pool = nn.Linear(d, d)

    def forward(self, input_ids, attention_mask, token_type_ids):
        mask = attention_mask[:, None, None, :].to(torch.float32)
        mask = (1.0 - mask) * torch.finfo(torch.float32).min
        x = self.words(input_ids) + self.positions(self.numbers[:, :input_ids.size(1)]) + self.kinds(token_type_ids)
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x, mask)
        return x, torch.tanh(self.pool(x[:, 0]))


def spread(net):
    """Gives every weight and running statistic a value that can be seen."""
    for m in net.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)) and m.bias is not None:
            nn.init.normal_(m.bias, std=0.2)
        if isinstance(m, (nn.BatchNorm2d, nn.LayerNorm)):
            nn.init.uniform_(m.weight, 0.6, 1.4)
            nn.init.normal_(m.bias, std=0.2)
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(std=0.3)
            m.running_var.uniform_(0.3, 2)
        if isinstance(m, nn.MultiheadAttention):
            nn.init.normal_(m.in_proj_bias, std=0.2)
    return net.eval()


def image(size):
    return lambda batch, _: (torch.rand(batch, 3, size, size) * 2 - 1,)


def text(words):
    def make(batch, length):
        lengths = torch.randint(1, length + 1, (batch, 1))
        mask = (torch.arange(length) < lengths).long()
        return torch.randint(0, words, (batch, length)) * mask, mask, torch.randint(0, 2, (batch, length)) * mask
    return make


TEXT_AXES = {"input_ids": {0: "batch", 1: "sequence"}, "attention_mask": {0: "batch", 1: "sequence"},
             "token_type_ids": {0: "batch", 1: "sequence"}, "last_hidden_state": {0: "batch", 1: "sequence"}, "pooled_output": {0: "batch"}}

# name: network, opset, inputs, their names, outputs' names, open axes, traced
# sizes (batch, sequence), sizes of the test data, keep BatchNormalization
SMALL = {
    "vit": (lambda: ViT(Multihead, 32, 8, 32, 2, 4, 10), 17, image(32), ["pixel_values"], ["tokens", "logits"],
            {"pixel_values": {0: "batch"}, "tokens": {0: "batch"}, "logits": {0: "batch"}}, (2, 0), [(2, 0), (1, 0), (3, 0)], False),
    "vit_packed": (lambda: ViT(Attention, 28, 7, 24, 2, 3, 10), 13, image(28), ["pixel_values"], ["tokens", "logits"],
                   {}, (1, 0), [(1, 0)], False),
    "resnet": (lambda: ResNet(8, 3, 2, 10), 11, image(40), ["image"], ["logits"],
               {"image": {0: "batch"}, "logits": {0: "batch"}}, (1, 0), [(1, 0), (2, 0)], True),
    "mobilenet": (lambda: MobileNet(8, 10), 14, image(36), ["image"], ["logits"],
                  {"image": {0: "batch"}, "logits": {0: "batch"}}, (2, 0), [(2, 0), (1, 0)], False),
    "text": (lambda: Text(200, 32, 32, 2, 4), 14, text(200), ["input_ids", "attention_mask", "token_type_ids"],
             ["last_hidden_state", "pooled_output"], TEXT_AXES, (2, 7), [(2, 7), (1, 1), (3, 16), (1, 32)], False),
}

# The published sizes of ViT-S/16, ResNet-18 and MiniLM-L6.
FULL = {
    "vit_s16_224": (lambda: ViT(Multihead, 224, 16, 384, 12, 6, 1000), 17, image(224), ["pixel_values"], ["tokens", "logits"],
                    {}, (1, 0), [(1, 0)], False),
    "resnet18_224": (lambda: ResNet(64, 4, 2, 1000), 17, image(224), ["image"], ["logits"], {}, (1, 0), [(1, 0)], True),
    "text_l6": (lambda: Text(3000, 512, 384, 6, 12), 14, text(3000), ["input_ids", "attention_mask", "token_type_ids"],
                ["last_hidden_state", "pooled_output"], TEXT_AXES, (2, 9), [(2, 24)], False),
}


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out) + bytes([n])


def tensor_proto(name, t):
    """A TensorProto: dims, data_type, name, raw_data."""
    kind = {torch.float32: 1, torch.int64: 7}[t.dtype]
    raw = t.contiguous().numpy().tobytes()
    dims = b"".join(b"\x08" + varint(d) for d in t.shape)
    text = name.encode()
    return dims + b"\x10" + varint(kind) + b"\x42" + varint(len(text)) + text + b"\x4a" + varint(len(raw)) + raw


def export(folder, name, seed, opset):
    make, own, inputs, names, outputs, axes, traced, sizes, keep = {**SMALL, **FULL}[name]
    torch.manual_seed(seed)
    folder = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        net = spread(make())
    # With gradients: without, MultiheadAttention takes a way that ONNX has no operator for.
    mode = torch.onnx.TrainingMode.PRESERVE if keep else torch.onnx.TrainingMode.EVAL
    torch.onnx.export(net, inputs(*traced), str(folder / "model.onnx"), opset_version=opset or own, input_names=names,
                      output_names=outputs, dynamic_axes=axes, training=mode, do_constant_folding=not keep)
    with torch.no_grad():
        for i, size in enumerate(sizes):
            data = folder / f"test_data_set_{i}"
            data.mkdir(exist_ok=True)
            x = inputs(*size)
            y = net(*x)
            for kind, labels, tensors in (("input", names, x), ("output", outputs, y if isinstance(y, tuple) else (y,))):
                for k, (label, t) in enumerate(zip(labels, tensors)):
                    (data / f"{kind}_{k}.pb").write_bytes(tensor_proto(label, t))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--opset", type=int, default=0, help="instead of each network's own")
    p.add_argument("--full", action="store_true", help="networks of published sizes")
    p.add_argument("--only", help="one network")
    p.add_argument("dir", type=pathlib.Path)
    a = p.parse_args()
    torch.set_num_threads(1)
    for name in [a.only] if a.only else FULL if a.full else SMALL:
        export(a.dir, name, a.seed, a.opset)


main()

"""A policy of arfm in PyTorch, weight for weight, to be measured against.

It reads requests, a JSON object a line, and answers each with one; package
peers has what is in them. State and words are the context, as package vla makes
it; cameras are left out. What depends on weights alone is computed once, when a
policy is opened, as arfm and ONNX Runtime do.
"""
import json
import math
import sys
import time

import torch
import torch.nn.functional as F

THREADS = int(sys.argv[1])
torch.set_num_threads(THREADS)
# Of PyTorch's two ways to compute attention the faster on the job at hand is
# taken.
WAYS = [False, True] if hasattr(F, "scaled_dot_product_attention") else [False]


def read(path):
    """Weights by name, and metadata, of a safetensors file of float32."""
    with open(path, "rb") as f:
        data = bytearray(f.read())
    n = int.from_bytes(data[:8], "little")
    head = json.loads(data[8 : 8 + n].decode())
    meta = head.pop("__metadata__")
    weights = {}
    for name, t in head.items():
        if t["dtype"] != "F32":
            raise ValueError("tensor %s holds %s" % (name, t["dtype"]))
        begin, end = t["data_offsets"]
        flat = torch.frombuffer(data, dtype=torch.float32, offset=8 + n + begin, count=(end - begin) // 4)
        weights[name] = flat.reshape(t["shape"]).clone()
    return weights, meta


class Policy:
    def __init__(self, path, fused):
        self.w, meta = read(path)
        self.fused = fused  # attention
        self.c = json.loads(meta["architecture"])
        if self.c.get("cameras"):
            raise ValueError("%s sees cameras" % path)
        self.d, self.heads, self.layers = self.c["d"], self.c["heads"], self.c["layers"]

    def linear(self, name, x):
        return F.linear(x, self.w[name + ".weight"], self.w[name + ".bias"])

    def context(self, state, words):
        """Tokens (B, T, D) of state (B, S) and words (B, W), -1 for none."""
        parts = [("state", state)]
        if self.c.get("state_fields"):
            fields = torch.split(state, self.c["state_fields"], 1)
            parts += [("state.%d" % i, x) for i, x in enumerate(fields)]
        tokens = []
        for name, x in parts:
            y = self.linear(name + ".l2", F.silu(self.linear(name + ".l1", x)))
            tokens.append((y + self.w[name + ".type"]).unsqueeze(1))
        if self.c["language"]:
            rows = torch.where(words < 0, torch.full_like(words, self.c["vocab"]), words)
            y = F.embedding(rows, self.w["language.table"])
            tokens.append(y + self.w["language.pos"] + self.w["language.type"])
        return torch.cat(tokens, 1)

    def split(self, x):
        """(B, T, D) by heads: (B, heads, T, D / heads)."""
        b, t, _ = x.shape
        return x.view(b, t, self.heads, self.d // self.heads).transpose(1, 2)

    def attend(self, q, k, v):
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            scores = q @ k.transpose(-1, -2) * (1 / math.sqrt(q.shape[-1]))
            y = torch.softmax(scores, -1) @ v
        return y.transpose(1, 2).reshape(q.shape[0], q.shape[2], self.d)

    def keys(self, context):
        """Keys and values of the context for each block."""
        made = []
        for l in range(self.layers):
            k, v = self.linear("expert.b.%d.kv" % l, context).chunk(2, -1)
            made.append((self.split(k), self.split(v)))
        return made

    def modulations(self, tau):
        """For flow times tau (N): (N, 1, 9D) for each block, (N, 1, 2D) for the head."""
        half = self.d // 2
        f = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float64) / half)
        phase = 1000 * tau.double()[:, None] * f
        x = torch.cat([phase.cos(), phase.sin()], 1).float()
        x = F.silu(self.linear("expert.t2", F.silu(self.linear("expert.t1", x))))
        names = ["expert.b.%d.ada" % l for l in range(self.layers)] + ["expert.ada"]
        return [self.linear(name, x).unsqueeze(1) for name in names]

    def velocity(self, noisy, keys, mods):
        """The velocity field (B, H, A) at noisy (B, H, A)."""

        def normed(shift, scale):
            return F.layer_norm(x, (self.d,)) * (1 + scale) + shift

        x = self.linear("expert.inp", noisy) + self.w["expert.pos"]
        for l in range(self.layers):
            p, m = "expert.b.%d." % l, mods[l].chunk(9, -1)
            q, k, v = self.linear(p + "qkv", normed(m[0], m[1])).chunk(3, -1)
            x = x + m[2] * self.linear(p + "o1", self.attend(self.split(q), self.split(k), self.split(v)))
            q = self.linear(p + "q", normed(m[3], m[4]))
            x = x + m[5] * self.linear(p + "o2", self.attend(self.split(q), *keys[l]))
            x = x + m[8] * self.linear(p + "f2", F.gelu(self.linear(p + "f1", normed(m[6], m[7]))))
        shift, scale = mods[-1].chunk(2, -1)
        return self.linear("expert.out", normed(shift, scale))


class Infer:
    """Chunks of a batch of observations."""

    def __init__(self, job, fused):
        self.p = Policy(job["model"], fused)
        self.batch = Batch(job, self.p.c)
        self.steps = self.p.c["steps"]
        with torch.inference_mode():
            self.mods = self.p.modulations(torch.arange(self.steps) / self.steps)
        self.answer = {"values": self.sample(self.batch.noise).flatten().tolist()}

    def sample(self, x):
        with torch.inference_mode():
            keys = self.p.keys(self.p.context(self.batch.state, self.batch.words))
            for s in range(self.steps):
                x = x + self.p.velocity(x, keys, [m[s] for m in self.mods]) / self.steps
            return x

    def run(self):
        self.sample(torch.randn_like(self.batch.noise))


class Train:
    """Optimiser steps on a batch of chunks, each with noise and flow times of its own."""

    def __init__(self, job, fused):
        self.p = Policy(job["model"], fused)
        self.batch = b = Batch(job, self.p.c)
        self.strength = job["beta"]
        o = job["optimiser"]
        self.clip = o["clip"]
        params = [w.requires_grad_() for w in self.p.w.values()]
        settings = dict(lr=o["schedule"]["peak"], betas=(o["beta1"], o["beta2"]), eps=o["eps"], weight_decay=o["decay"])
        try:
            self.optimiser = torch.optim.AdamW(params, fused=True, **settings)
        except (RuntimeError, TypeError):  # before 2.4 there is no fused one for CPUs
            self.optimiser = torch.optim.AdamW(params, **settings)
        self.params = params
        losses, norms = [], []
        for i in range(job["steps"]):
            v, loss, norm = self.step(b.noise, b.tau)
            if i == 0:
                first = v.flatten().tolist()
            losses.append(loss)
            norms.append(norm)
        self.answer = {"values": first, "losses": losses, "norms": norms}

    def step(self, noise, tau):
        b = self.batch
        t = tau[:, None, None]
        noisy, target = t * b.actions + (1 - t) * noise, b.actions - noise
        keys = self.p.keys(self.p.context(b.state, b.words))
        v = self.p.velocity(noisy, keys, self.p.modulations(tau))
        each = ((v - target) ** 2).mean((1, 2))
        weights = torch.softmax(self.strength * (b.advantage - b.advantage.mean()), 0)
        loss = (weights * each).sum()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.params, self.clip)
        self.optimiser.step()
        return v.detach(), loss.item(), float(norm)

    def run(self):
        self.step(torch.randn_like(self.batch.noise), torch.rand_like(self.batch.tau))


class Batch:
    def __init__(self, job, c):
        n = job["batch"]

        def floats(name, *shape):
            return torch.tensor(job[name], dtype=torch.float32).reshape(shape) if job.get(name) else None

        chunk = (n, c["horizon"], c["action_dim"])
        self.state = floats("state", n, c["state_dim"])
        self.words = torch.tensor(job["words"], dtype=torch.int64).reshape(n, -1)
        self.noise, self.actions = floats("noise", *chunk), floats("actions", *chunk)
        self.tau, self.advantage = floats("tau", n), floats("advantage", n)


def clock(job):
    start = time.perf_counter()
    job.run()
    return 1e3 * (time.perf_counter() - start)


def open_job(request):
    kind = {"infer": Infer, "train": Train}[request["task"]]

    def taken(way):
        job = kind(request, way)
        return min(clock(job) for _ in range(3))

    return kind(request, WAYS[0] if len(WAYS) == 1 else min(WAYS, key=taken))


def main():
    job = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "hello":
                reply = {"name": "PyTorch " + torch.__version__, "place": torch.__file__}
            elif request["do"] == "open":
                job = None  # what was open makes room first
                job = open_job(request["job"])
                reply = job.answer
            else:
                reply = {"ms": [clock(job) for _ in range(request["runs"])]}
        except Exception as e:
            reply = {"error": "%s: %s" % (type(e).__name__, e)}
        print(json.dumps(reply), flush=True)


main()

"""Writes expert.json, the golden values of TestExpertAgainstPyTorch: a small action expert, its inputs,
its velocity, and the gradients of sum(velocity * r) by every parameter and by the context.

Run with a Python that has PyTorch:  python3 expert.py > expert.json
"""
import json, math
import torch
import torch.nn.functional as F

D, L, HEADS, H, A, T, B = 8, 2, 2, 4, 3, 5, 2
torch.manual_seed(3)
P = {}


def param(name, *shape):
    P[name] = (torch.randn(*shape) * (0.5 if len(shape) == 1 else 0.8 / math.sqrt(shape[-1]))).requires_grad_()


def lin(name, n_in, n_out):
    param(name + ".weight", n_out, n_in)
    param(name + ".bias", n_out)


lin("inp", A, D), param("pos", H, D), lin("t1", D, D), lin("t2", D, D)
for l in range(L):
    for name, n_in, n_out in (("ada", D, 9 * D), ("qkv", D, 3 * D), ("o1", D, D), ("q", D, D), ("kv", D, 2 * D),
                              ("o2", D, D), ("f1", D, 4 * D), ("f2", 4 * D, D)):
        lin("b.%d.%s" % (l, name), n_in, n_out)
lin("ada", D, 2 * D), lin("out", D, A)


def linear(name, x):
    return F.linear(x, P[name + ".weight"], P[name + ".bias"])


def attention(q, k, v):
    split = lambda x: x.view(B, -1, HEADS, D // HEADS).transpose(1, 2)
    w = torch.softmax(split(q) @ split(k).transpose(-1, -2) / math.sqrt(D // HEADS), -1)
    return (w @ split(v)).transpose(1, 2).reshape(B, -1, D)


def modulate(x, shift, scale):
    return F.layer_norm(x, (D,)) * (1 + scale) + shift


def velocity(noisy, tau, ctx):
    freq = torch.exp(-math.log(10000.0) * torch.arange(D // 2) / (D // 2))
    angle = 1000 * tau[:, None] * freq
    e = linear("t2", F.silu(linear("t1", torch.cat([angle.cos(), angle.sin()], -1))))
    x = linear("inp", noisy) + P["pos"]
    for l in range(L):
        p = "b.%d." % l
        m = linear(p + "ada", F.silu(e)).unsqueeze(1).chunk(9, -1)
        q, k, v = linear(p + "qkv", modulate(x, m[0], m[1])).chunk(3, -1)
        x = x + m[2] * linear(p + "o1", attention(q, k, v))
        k, v = linear(p + "kv", ctx).chunk(2, -1)
        x = x + m[5] * linear(p + "o2", attention(linear(p + "q", modulate(x, m[3], m[4])), k, v))
        x = x + m[8] * linear(p + "f2", F.gelu(linear(p + "f1", modulate(x, m[6], m[7]))))
    shift, scale = linear("ada", F.silu(e)).unsqueeze(1).chunk(2, -1)
    return linear("out", modulate(x, shift, scale))


noisy, ctx, r = torch.randn(B, H, A), torch.randn(B, T, D).requires_grad_(), torch.randn(B, H, A)
tau = torch.tensor([0.3, 0.8])
out = velocity(noisy, tau, ctx)
(out * r).sum().backward()
flat = lambda t: [float("%.8g" % v) for v in t.detach().flatten()]
print(json.dumps(dict(
    torch=torch.__version__, d=D, layers=L, heads=HEADS, horizon=H, action_dim=A, tokens=T, batch=B,
    noisy=flat(noisy), tau=flat(tau), context=flat(ctx), r=flat(r), velocity=flat(out), dcontext=flat(ctx.grad),
    params={k: flat(v) for k, v in P.items()}, grads={k: flat(v.grad) for k, v in P.items()}), separators=(",", ":")))

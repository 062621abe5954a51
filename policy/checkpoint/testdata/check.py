"""Reads a safetensors file with the standard library alone, by the format's
own rules, and with the safetensors package too where it is installed. Prints
one JSON line: which readers ran, the metadata, and per tensor its type, shape,
first and last element."""
import json, struct, sys

FORMATS = {"F32": "f", "F64": "d", "I64": "q", "U8": "B"}
data = open(sys.argv[1], "rb").read()
(n,) = struct.unpack("<Q", data[:8])
text, body = data[8:8 + n], data[8 + n:]
assert (8 + n) % 8 == 0, "tensors do not start at a multiple of 8"
assert text[:1] == b"{" and text.rstrip(b" ")[-1:] == b"}", "padding is not spaces"


def unique(pairs):
    keys = [k for k, _ in pairs]
    assert len(keys) == len(set(keys)), "repeated key"
    return dict(pairs)


header = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
meta = header.pop("__metadata__", {})
assert all(isinstance(v, str) for v in meta.values()), "metadata must be strings"
tensors, at = {}, 0
for name, t in sorted(header.items(), key=lambda kv: kv[1]["data_offsets"]):
    begin, end = t["data_offsets"]
    code = FORMATS[t["dtype"]]
    count = 1
    for d in t["shape"]:
        count *= d
    assert begin == at and end - begin == count * struct.calcsize(code), name
    assert begin % struct.calcsize(code) == 0, name + " is not aligned"
    values = struct.unpack("<%d%s" % (count, code), body[begin:end])
    tensors[name] = {"dtype": t["dtype"], "shape": t["shape"], "first": values[:1], "last": values[-1:]}
    at = end
assert at == len(body), "bytes after the last tensor"
readers = ["json"]
try:
    import safetensors
    for name, t in safetensors.deserialize(data):
        assert t["dtype"] == tensors[name]["dtype"] and list(t["shape"]) == tensors[name]["shape"], name
        begin, end = header[name]["data_offsets"]
        assert bytes(t["data"]) == body[begin:end], name
    readers.append("safetensors")
except ImportError:
    pass
print(json.dumps({"readers": readers, "meta": meta, "tensors": tensors}))

"""docs/reference/model-settings.md: every setting of the model, from `ModelSettings`."""

import ast
import inspect

from msgspec import inspect as types

from inference.settings import ModelSettings

HEAD = """\
# Settings of the model

Generated from `inference.settings.ModelSettings` by `make docs`. `ouzel triton build` writes them to `settings.json` in
the model repository, most of them from its [options](commands.md#ouzel-triton-build). The server, in-process scoring,
training and evaluation read them.

| setting | default | takes | meaning |
|---|---|---|---|
"""


def model_settings_page() -> str:
    """The page: a row for each field, with its default, bounds and docstring."""
    described = types.type_info(ModelSettings)
    if not isinstance(described, types.StructType):
        raise TypeError("ModelSettings is no struct: teach deploy.reference.model_settings to read it")
    docs = _docstrings(ModelSettings)
    rows = [
        f"| `{field.name}` | {_code(field.default)} | {_takes(field.type)} | {docs.get(field.name, '')} |"
        for field in described.fields
    ]
    return HEAD + "\n".join(rows) + "\n"


def _docstrings(cls: type) -> dict[str, str]:
    """The string below each field of a class, on one line."""
    body = ast.parse(inspect.getsource(cls)).body[0]
    if not isinstance(body, ast.ClassDef):
        raise TypeError(f"{cls} is no class statement")
    found = {}
    for field, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[ast.unparse(field.target)] = " ".join(str(after.value.value).split())
    return found


def _code(value: object) -> str:
    return f"`{value}`" if str(value) else ""


def _takes(kind: types.Type) -> str:
    match kind:
        case types.Metadata(type=inner):
            return _takes(inner)
        case types.EnumType(cls=cls):
            return ", ".join(f"`{one.value}`" for one in cls)
        case types.BoolType():
            return "true or false"
        case types.IntType(ge=least, le=most) if least is not None and most is not None:
            return f"a whole number, {least:,} to {most:,}"
        case types.StrType():
            return "text"
    raise TypeError(f"no words for {kind}: add them here")

"""Label and field selectors, as far as clients use them."""

import re


def labels(text):
    """A function of labels."""
    checks = []
    # Commas within "in (a,b)" separate nothing.
    for part in re.findall(r"[^,(]+(?:\([^)]*\))?", text or ""):
        part = part.strip()
        among = re.fullmatch(r"(\S+) (in|notin) \(([^)]*)\)", part)
        if among:
            key, how, values = among.groups()
            values = [v.strip() for v in values.split(",")]
            checks.append(lambda have, k=key, v=values, yes=how == "in": (have.get(k) in v) == yes)
        elif "!=" in part:
            key, value = part.split("!=")
            checks.append(lambda have, k=key, v=value: have.get(k) != v)
        elif "=" in part:
            key, value = re.split("==?", part)
            checks.append(lambda have, k=key, v=value: have.get(k) == v)
        elif part.startswith("!"):
            checks.append(lambda have, k=part[1:]: k not in have)
        else:
            checks.append(lambda have, k=part: k in have)
    return lambda have: all(check(have) for check in checks)


def fields(text):
    """A function of an object."""
    checks = []
    for part in (text or "").split(","):
        if part:
            path, no, value = re.fullmatch(r"([^!=]+)(!?)==?(.*)", part).groups()
            checks.append((path.split("."), bool(no), value))

    def matches(obj):
        for path, no, value in checks:
            found = obj
            for step in path:
                found = (found or {}).get(step)
            if ((found or "") == value) == no:
                return False
        return True

    return matches

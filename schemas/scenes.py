"""Settings that differ by scene: a value for every scene, then, separated by commas, values for single scenes."""


def by_scene(text: str, default: str) -> dict[str, str]:
    """The values of a setting ("0.1, home=0.2") by scene, and under "" the value for all others.

    `default` is the value for all others if the text names none. Raises `ValueError` with what to write instead.
    """
    found = {"": default}
    for part in filter(None, (each.strip() for each in text.split(","))):
        scene, equals, value = (each.strip() for each in part.rpartition("="))
        if bool(equals) != bool(scene):
            raise ValueError(f"{part!r} names no scene before =; use scene=value, or a value for every scene")
        if scene and scene in found:
            raise ValueError(f"the scene {scene} is named twice")
        found[scene] = value
    return found

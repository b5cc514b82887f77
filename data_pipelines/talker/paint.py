"""The parts of a head as soft masks and colours over face units: skin, brows, nostrils, beard, ears, hair, glasses."""

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from data_pipelines.talker.identities import Colour, Identity
from data_pipelines.talker.surface import both, bump, half_width, inside, soft


def over(picture: Float[np.ndarray, "h w 3"], colour: Colour | np.ndarray, mask: Float[np.ndarray, "h w"]) -> None:
    """Lays `colour` (RGB or [H, W, 3]) over the picture [H, W, 3] where the mask [H, W] is 1, in place."""
    picture += (np.asarray(colour, np.float32) - picture) * mask[..., None]


def grain(rng: np.random.Generator, shape: tuple[int, ...], size: float) -> np.ndarray:
    """Smooth noise of standard deviation 1, blobs of about `size` pixels."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), size)
    return (noise / noise.std()).astype(np.float32)


def skin(who: Identity, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Skin [H, W, 3] with blush, shaded sockets and fine and coarse mottling."""
    rng = np.random.default_rng(who.texture_seed)
    shape = np.broadcast_shapes(x.shape, y.shape)
    colour = np.empty((*shape, 3), np.float32)
    colour[:] = who.skin
    mottle = 1 + 0.012 * grain(rng, shape, 1.0) + 0.016 * grain(rng, shape, 6.0)
    colour *= mottle[..., None]
    blush = 0.30 * both(x, y, (31, 30), (14, 11)) + 0.28 * bump(x, y, (0, who.nose_length - 4), (9, 7))
    over(colour, np.array(who.skin) * (1.0, 0.74, 0.70), blush)
    eye, nose = who.eye_distance, who.nose_length
    dark = 0.26 * both(x, y, (eye - 3, -6.5), (12, 4.5)) + 0.20 * both(x, y, (eye - 9, 0), (5, 7))
    dark = dark + 0.10 * both(x, y, (eye, 8.5), (9, 3.0)) + 0.30 * bump(x, y, (0, nose + 3.5), (10.5, 3.0))
    dark = dark + 0.12 * both(x, y, (6, 12), (3.0, 13))
    return colour * (1 - np.clip(dark, 0, 1)[..., None] * np.array((0.75, 0.9, 0.95), np.float32))


def brows(picture: np.ndarray, who: Identity, x: np.ndarray, y: np.ndarray) -> None:
    """Brows with a rising arch that thins outwards, made of hairs."""
    along = (np.abs(x) - (who.eye_distance - 12)) / 26
    inner = np.clip(along, 0, 1)
    middle = -who.brow_height + 2.0 - 3.6 * np.sin(np.pi * np.clip(0.15 + 0.8 * inner, 0, 1)) + 2.0 * inner
    thick = who.brow_thickness * (1 - 0.65 * inner**1.5) / 2
    hairs = 0.86 + 0.14 * np.sin(2.4 * np.abs(x) + 1.6 * y + 2 * np.sin(0.9 * y))
    mask = soft(thick - np.abs(y - middle), 1.6) * soft(along * 26, 3) * soft((1 - along) * 26, 4) * hairs
    over(picture, np.array(who.hair) * 0.75, 0.9 * mask)


def nose_marks(picture: np.ndarray, who: Identity, x: np.ndarray, y: np.ndarray) -> None:
    """Nostrils and the crease round the wings, the dark marks at a nose's base."""
    base, wide = who.nose_length, who.nose_width
    nostril = soft(1 - np.hypot((np.abs(x) - 0.54 * wide) / 3.3, (y - base - 0.2) / 1.7), 0.5)
    over(picture, np.array(who.skin) * (0.26, 0.16, 0.15), 0.85 * nostril)
    ring = np.abs(np.hypot((np.abs(x) - wide + 3.6) / 5.2, (y - base + 4) / 6.2) - 1)
    crease = soft(0.16 - ring, 0.3) * soft(np.abs(x) - wide + 0.5, 2.5) * soft(y - base + 8, 5)
    over(picture, np.array(who.skin) * (0.62, 0.46, 0.42), 0.55 * crease)


def beard(picture: np.ndarray, who: Identity, x: np.ndarray, y: np.ndarray) -> None:
    """Stubble to full beard over jaw, chin and upper lip."""
    if not who.beard:
        return
    rng = np.random.default_rng(who.texture_seed + 1)
    shape = np.broadcast_shapes(x.shape, y.shape)
    jaw = soft(y - 30 + 0.0 * x, 24) * soft(np.abs(x) + 0.55 * (y - 20) - 39, 9)
    middle = (who.nose_length + who.mouth_y) / 2 + 0.5 + 0.014 * x**2
    lip = soft(5.5 - 0.08 * np.abs(x) - np.abs(y - middle), 5) * soft(24 - np.abs(x), 12)
    mask = np.clip(np.maximum(jaw, lip) * (0.85 + 0.22 * grain(rng, shape, 0.7)), 0, 1)
    over(picture, np.array(who.hair) * 0.85, mask * (0.26 if who.beard < 0.9 else 0.58))


def ears(picture: np.ndarray, who: Identity, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Draws both ears and returns their mask."""
    centre = who.face_width + 0.5
    radius = np.hypot((np.abs(x) - centre - 0.08 * (10 - y)) / 7.0, (y - 11) / 15.5)
    mask = soft((1 - radius) * 7, 1.2)
    over(picture, np.array(who.skin) * (0.95, 0.84, 0.80), mask)
    shell = np.hypot((np.abs(x) - centre + 0.5) / 3.6, (y - 9) / 9.5)
    over(picture, np.array(who.skin) * (0.66, 0.48, 0.44), 0.6 * soft((1 - shell) * 3.6, 3) * mask)
    return mask


def neck(picture: np.ndarray, who: Identity, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Draws the neck with the chin's shadow and returns its mask."""
    wide = who.face_width * (0.60 if who.female else 0.74)
    width = wide + 0.10 * np.clip(y - 80, 0, None) + 0.010 * np.clip(y - 100, 0, None) ** 2
    mask = soft(width - np.abs(x), 1.2) * soft(y - 40, 4)
    over(picture, np.array(who.skin) * 0.94, mask)
    reach = who.chin + 2 - 0.012 * x**2
    shadow = soft(reach + 14 - y, 26)
    round_off = 1 - 0.30 * np.clip(np.abs(x) / width, 0, 1) ** 3
    picture *= 1 - mask[..., None] * (1 - (round_off * (1 - 0.42 * shadow))[..., None])
    return mask


def strands(who: Identity, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Hair colour [H, W, 3]: strands that run from the crown (blobs for curly hair) under a band of shine."""
    rng = np.random.default_rng(who.texture_seed + 2)
    shape = np.broadcast_shapes(x.shape, y.shape)
    if who.hair_style == "curly":
        tone = 0.22 * grain(rng, shape, 2.2) + 0.10 * grain(rng, shape, 1.0)
    else:
        angle = np.arctan2(x, 60 + np.abs(y + 60) ** 0.9) * 110 + 1.5 * grain(rng, shape, 9.0)
        profile = ndimage.gaussian_filter1d(rng.standard_normal(600), 0.9)
        profile /= profile.std()
        tone = 0.16 * np.interp(angle + 300, np.arange(600), profile) + 0.05 * grain(rng, shape, 0.8)
    shine = 0.42 * np.exp(-(((y + 82 - 0.012 * x**2) / 9) ** 2)) - 0.25 * soft(np.abs(x) - who.face_width + 2, 14)
    return (np.array(who.hair, np.float32) * (1 + tone + shine)[..., None]).clip(0, 1).astype(np.float32)


def fray(who: Identity, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How far hair sticks out of its outline [H, W]: tufts, or curls."""
    rng = np.random.default_rng(who.texture_seed + 4)
    shape = np.broadcast_shapes(x.shape, y.shape)
    if who.hair_style == "curly":
        return np.clip(1.9 * grain(rng, shape, 4.0) + 0.5 * grain(rng, shape, 1.5), -4, 2.5)
    tufts = ndimage.gaussian_filter(rng.standard_normal(shape), (6.0, 1.3))
    amount = {"bald": 0.0, "short": 1.2, "parted": 1.0}.get(who.hair_style, 0.8)
    return np.clip(amount * tufts / tufts.std(), -3, 2)


def hair_outline(who: Identity, y: np.ndarray) -> np.ndarray:
    """Half width of the hair's silhouette above the ears ([H, 1])."""
    puff = {"curly": 9.0, "bald": 0.8, "short": 4.0}.get(who.hair_style, 6.5)
    up = np.clip((-10 - y) / (80 + 0.9 * puff), 0, 1)
    return (who.face_width + puff * 0.8) * np.clip(1 - up**3.0, 0, 1) ** 0.5


def front_hair(who: Identity, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mask of the hair that lies over skull and temples."""
    side = np.abs(x) / who.face_width
    line = {
        "short": -54 + 20 * side**4,
        "parted": -58 + 16 * np.exp(-(((x - 26) / 17) ** 2)) * who.female + 24 * side**4 + 0.10 * x,
        "long": -62 + 34 * side**2.2,
        "bob": -40 + 6 * side**2,
        "curly": -56 + 18 * side**3,
        "bald": -140 + 0 * x,
    }[who.hair_style]
    rough = fray(who, x, y)
    cap = soft(line - y + 1.6 * rough, 2.5)
    long = who.hair_length > 20
    inner = np.maximum(half_width(who, y), 0.85 * who.face_width * (y > 20)) * (0.90 if long else 0.955)
    low = who.hair_length if long else (5.0 if who.female else 14.0)
    high = -38.0 if who.hair_style == "bald" else -140.0
    sides = soft(np.abs(x) - inner - 1.5 * np.sin(0.12 * y), 2.0) * soft(low - y + rough, 6) * soft(y - high, 8)
    outline = np.where(y < -9, hair_outline(who, y), _lock_width(who, y))
    return np.maximum(cap, sides) * inside(x, y, outline, 1.6, rough)


def back_hair(who: Identity, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mask of the hair that falls behind neck and shoulders."""
    if who.hair_length <= 20:
        return np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)
    rough = fray(who, x, y)
    return soft(_lock_width(who, y) - np.abs(x) + rough, 1.6) * soft(who.hair_length - y + rough, 5) * soft(y + 30, 4)


def _lock_width(who: Identity, y: np.ndarray) -> np.ndarray:
    """Half width of the hair below the temples; it rounds off towards its ends."""
    start = float(hair_outline(who, np.array([[-10.0]]))[0, 0])
    if who.hair_length <= 20:
        return start - 0.10 * np.clip(y + 10, 0, None)
    down = np.clip((y + 10) / (who.hair_length + 10), 0, 1)
    swing = 10 if who.hair_length > 60 else 6
    return (start + swing * np.sin(2.2 * down)) * (1 - down**8) ** 0.5


def glasses(picture: np.ndarray, who: Identity, x: np.ndarray, y: np.ndarray) -> None:
    """Thin dark frames."""
    if not who.glasses:
        return
    radius = ((np.abs(x) - who.eye_distance) / 15.5) ** 4 + ((y - 1.5) / 11.0) ** 4
    rim = soft(0.055 - np.abs(radius**0.25 - 1), 0.05)
    bridge = soft(0.8 - np.abs(y + 3 + 0.06 * (x**2 - 40)), 0.8) * soft(who.eye_distance - 15 - np.abs(x), 1)
    arm = (
        soft(0.9 - np.abs(y + 3), 0.8)
        * soft(np.abs(x) - who.eye_distance - 15, 1)
        * soft(who.face_width - np.abs(x), 1)
    )
    over(picture, (0.10, 0.09, 0.09), 0.8 * np.clip(rim + bridge + arm, 0, 1))

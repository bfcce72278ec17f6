"""Invented words in several scripts, from which titles, descriptions, tags and channel names are put together."""

from typing import NamedTuple

from .identity import mix


class Tongue(NamedTuple):
    """One language: its code, a country where it is spoken, and words to build titles from."""

    language: str
    country: str
    openers: tuple[str, ...]
    subjects: tuple[str, ...]
    closers: tuple[str, ...]
    channel_words: tuple[str, ...]


ENGLISH = Tongue(
    "en",
    "US",
    ("How to build", "Why nobody fixes", "I tested", "The truth about", "10 minutes of", "We don't need", "Inside"),
    ("a tiny house", "Rust & Python", 'the "perfect" espresso', "old synthesizers", "night trains", "chess endings"),
    ("", "(part 2)", "in 2026", "| full tour", "– honest review", "🔥", "<live>"),
    ("Harbour", "Copper", "Lantern", "Northside", "Juniper", "Signal", "Workshop", "Atlas"),
)
TONGUES: tuple[Tongue, ...] = (
    ENGLISH,
    ENGLISH,
    ENGLISH,
    Tongue(
        "es",
        "MX",
        ("Cómo hacer", "La verdad sobre", "Probé", "¿Por qué existe", "Así suena"),
        ("el pan de muerto", "la guitarra española", "un motor viejo", "el barrio", "la niñez & el fútbol"),
        ("", "(en vivo)", "¡en 5 minutos!", "| capítulo 3"),
        ("Ciudad", "Raíz", "Cocina", "Tambor", "Señal"),
    ),
    Tongue(
        "hi",
        "IN",
        ("कैसे बनाएं", "क्या है", "पूरी कहानी:", "आज का"),
        ("घर का खाना", "पुराना रेडियो", "क्रिकेट मैच", "गाँव की सुबह"),
        ("", "| भाग 2", "हिंदी में", "🙏"),
        ("सवेरा", "दुनिया", "रसोई", "ज्ञान"),
    ),
    Tongue(
        "ja",
        "JP",
        ("【解説】", "初心者のための", "本当にあった", "朝の"),
        ("夜行列車", "手作りラーメン", "古いカメラ", "将棋の終盤"),
        ("", "第2話", "〜完全版〜", "(字幕付き)"),
        ("工房", "灯台", "東京", "音楽室"),
    ),
    Tongue(
        "ar",
        "EG",
        ("كيف تصنع", "حقيقة", "تجربة", "قصة"),
        ("القهوة العربية", "القطار الليلي", "البيت القديم", "لعبة الشطرنج"),
        ("", "الجزء الثاني", "مباشر", "| الحلقة ٣"),
        ("النيل", "قناة", "نجمة", "حكاية"),
    ),
    Tongue(
        "ru",
        "RU",
        ("Как собрать", "Вся правда о", "Обзор:", "Почему ломается"),
        ("старый синтезатор", "ночной поезд", "деревянный дом", "шахматный эндшпиль"),
        ("", "(часть 2)", "| прямой эфир", "за 10 минут"),
        ("Маяк", "Мастерская", "Сигнал", "Север"),
    ),
    Tongue(
        "ko",
        "KR",
        ("집에서 만드는", "솔직한 리뷰:", "오늘의", "처음 배우는"),
        ("김치찌개", "야간열차", "오래된 카메라", "피아노"),
        ("", "2편", "(라이브)", "| 풀버전"),
        ("서울", "등대", "작업실", "별빛"),
    ),
    Tongue(
        "de",
        "DE",
        ("So baut man", "Die Wahrheit über", "Warum niemand", "Selbst gemacht:"),
        ("ein Tiny House", "den Nachtzug", "alte Röhrenradios", "Größe & Maß"),
        ("", "(Teil 2)", "– ausführlich", "| Folge 12"),
        ("Werkstatt", "Leuchtturm", "Straße", "Süden"),
    ),
)
_LATIN_HANDLES = ("harbour", "copper", "lantern", "juniper", "signal", "atlas", "meadow", "quartz", "cedar", "ember")


def pick(words: tuple[str, ...], noise: int) -> str:
    """Choose one of the words by 64 bits of noise."""
    return words[mix(noise) % len(words)]


def title(tongue: Tongue, noise: int) -> str:
    """Put a title together, at most 100 characters, as the raw text that a person typed."""
    number = mix(noise + 4) % 997
    middle = f"{pick(tongue.subjects, noise + 2)} #{number}"
    return f"{pick(tongue.openers, noise + 1)} {middle} {pick(tongue.closers, noise + 3)}".strip()[:100]


def description(tongue: Tongue, noise: int) -> str:
    """Put a description of two or three lines together."""
    lines = [
        f"{pick(tongue.openers, noise + 5)} {pick(tongue.subjects, noise + 6)}.",
        f"{pick(tongue.subjects, noise + 7)} · {pick(tongue.subjects, noise + 8)}",
    ]
    if mix(noise + 9) % 3 == 0:
        lines.append("https://example.org/notes?utm_source=video&part=2")
    return "\n\n".join(lines)


def tags(tongue: Tongue, noise: int) -> tuple[str, ...]:
    """Choose up to five tags; a quarter of the videos have none."""
    count = mix(noise + 10) % 8
    if count < 2:
        return ()
    words = tongue.subjects + tongue.channel_words
    return tuple(dict.fromkeys(pick(words, noise + 11 + step) for step in range(count - 2 or 1)))


def channel_title(tongue: Tongue, noise: int) -> str:
    """Put a channel's name together."""
    return f"{pick(tongue.channel_words, noise + 1)} {pick(tongue.channel_words, noise + 2)}"


def handle(noise: int, number: int) -> str:
    """Give a channel's handle, without the @; the number makes it unique."""
    return f"{pick(_LATIN_HANDLES, noise + 1)}{pick(_LATIN_HANDLES, noise + 2)}{number}"

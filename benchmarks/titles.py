"""Invented videos with titles as varied as real ones: words of seven scripts as frequent as words are, signs, years."""

import random
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

ALPHABETS: dict[str, tuple[str, str, int]] = {
    "latin": ("b c d f g h j k l m n p qu r s st t tr v w y z", "a e i o u ai ee ou é ö", 62),
    "cyrillic": ("б в г д ж з к л м н п р с т ф х ч ш", "а е и о у ы я", 12),
    "devanagari": ("क ख ग च ज ट ड त द न प ब म य र ल व श स ह", "ा ि ी ु ू े ो", 8),
    "arabic": ("ب ت ث ج ح خ د ذ ر ز س ش ص ط ع ف ق ك ل م ن ه", "ا و ي", 6),
    "japanese": ("カ サ タ ナ 日 本 東 京 新 大 人 生 食 車 音 楽 最 強", "イ ラ ス の ー で", 6),
    "hangul": ("가 나 다 라 마 바 사 아 자 차 카 타 파 하", "국 는 을 이 트 스", 4),
    "thai": ("ก ข ค ง จ ช ด ต ท น บ ป พ ม ย ร ล ว ส ห", "า ะ ิ ี ุ เ โ", 2),
}
SIGNS = ["", "", "", "| ", "- ", ": ", "🔥 ", "! ", "? ", "(2026) ", "#shorts ", "4K ", "😱 ", "ft. ", "… "]
WORDS = 60_000
CHANNELS = 20_000
TEXT = 4_000_000


class Library:
    """As many videos as are wanted, the same ones for the same seed; each a row as `archive_videos` takes it."""

    def __init__(self, seed: int = 1) -> None:
        self._dice = random.Random(seed)
        self._scripts = list(ALPHABETS)
        self._shares = list(accumulate(share for _, _, share in ALPHABETS.values()))
        self.words = {script: self._vocabulary(script) for script in self._scripts}
        # Zipf's law: the second word is half as frequent as the first
        self._frequencies = list(accumulate(1 / rank for rank in range(2, WORDS + 2)))
        self._text = " ".join(self._some_words("latin", TEXT // 6))
        self._channels = [self._channel(number) for number in range(CHANNELS)]

    def videos(self, number: int, first: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> Iterator[dict[str, Any]]:
        """This many more of them, discovered one after another, 100,000 a day."""
        for second in range(number):
            discovered_at = first + timedelta(seconds=second * 0.864)
            channel_id, channel, outro, script = self._dice.choice(self._channels)
            start, length = self._dice.randrange(TEXT // 2), int(self._dice.lognormvariate(5.5, 1))
            yield {
                "video_id": urlsafe_b64encode(self._dice.randbytes(8)).decode()[:11],
                "title": self._title(script),
                "published_at": discovered_at - timedelta(minutes=self._dice.randrange(60)),
                "tags": self._some_words(script, self._dice.randrange(12)),
                "channel_id": channel_id,
                "channel_title": channel,
                "category_id": str(self._dice.randrange(1, 30)),
                "duration_seconds": int(self._dice.lognormvariate(5.5, 1.3)),
                "default_language": script,
                "description": self._text[start : start + min(length, 4_000)] + outro,
                "discovered_at": discovered_at,
            }

    def _vocabulary(self, script: str) -> list[str]:
        consonants, vowels = (letters.split() for letters in ALPHABETS[script][:2])
        made: dict[str, None] = {}
        while len(made) < WORDS:
            syllables = self._dice.choices((1, 2, 3, 4), (2, 5, 4, 2))[0] + (len(made) > WORDS // 50)
            made["".join(self._dice.choice(consonants) + self._dice.choice(vowels) for _ in range(syllables))] = None
        return list(made)

    def _some_words(self, script: str, number: int) -> list[str]:
        return self._dice.choices(self.words[script], cum_weights=self._frequencies, k=number)

    def _title(self, script: str) -> str:
        words = self._some_words(script, self._dice.randrange(3, 12))
        blank = "" if script in {"japanese", "thai"} else " "
        middle = len(words) // 2
        halves = blank.join(words[:middle]).title(), blank.join(words[middle:])
        return f"{halves[0]} {self._dice.choice(SIGNS)}{halves[1]} {self._dice.choice(SIGNS)}".strip()

    def _channel(self, number: int) -> tuple[str, str, str, str]:
        script = self._dice.choices(self._scripts, cum_weights=self._shares)[0]
        channel_id = f"UC{self._dice.getrandbits(88):022x}"
        outro = f"\n\nhttps://www.youtube.com/channel/{channel_id}\n" + " ".join(self._some_words("latin", 30))
        return channel_id, " ".join(self._some_words(script, 2)).title(), outro, script

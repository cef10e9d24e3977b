"""Units, signs, letters, and the words that decide what a figure beside them means. Data only."""

from __future__ import annotations

from collections.abc import Mapping


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


UNITS: Mapping[str, str] = {
    "%": "phần trăm",
    "‰": "phần nghìn",
    "°C": "độ xê",
    "oC": "độ xê",
    "°": "độ",
    "km": "ki lô mét",
    "m": "mét",
    "dm": "đề xi mét",
    "cm": "xăng ti mét",
    "mm": "mi li mét",
    "km2": "ki lô mét vuông",
    "m2": "mét vuông",
    "cm2": "xăng ti mét vuông",
    "m3": "mét khối",
    "cm3": "xăng ti mét khối",
    "ha": "héc ta",
    "kg": "ki lô gam",
    "g": "gam",
    "mg": "mi li gam",
    "mcg": "mi crô gam",
    "l": "lít",
    "ml": "mi li lít",
    "km/h": "ki lô mét trên giờ",
    "km/giờ": "ki lô mét trên giờ",
    "m/s": "mét trên giây",
    "m3/s": "mét khối trên giây",
    "m3/h": "mét khối trên giờ",
    "mg/l": "mi li gam trên lít",
    "mcg/m3": "mi crô gam trên mét khối",
    "mm/h": "mi li mét trên giờ",
    "W": "oát",
    "kW": "ki lô oát",
    "kw": "ki lô oát",
    "MW": "mê ga oát",
    "kWh": "ki lô oát giờ",
    "V": "vôn",
    "kV": "ki lô vôn",
    "Hz": "héc",
    "kHz": "ki lô héc",
    "MHz": "mê ga héc",
    "GHz": "gi ga héc",
    "MB": "mê ga bai",
    "GB": "gi ga bai",
    "Mbps": "mê ga bít trên giây",
    "dB": "đề xi ben",
    "s": "giây",
    "h": "giờ",
    "ph": "phút",
    "đ": "đồng",
    "₫": "đồng",
    "VND": "đồng",
    "VNĐ": "đồng",
    "vnđ": "đồng",
    "USD": "đô la Mỹ",
    "$": "đô la Mỹ",
    "€": "ơ rô",
    "EUR": "ơ rô",
    "tr": "triệu",
    "k": "nghìn",
}
"""Right after a number; those without a vowel or with a figure also by themselves (``mỗi m2``)."""

CURRENCIES: Mapping[str, str] = {"$": "đô la Mỹ", "€": "ơ rô", "£": "bảng Anh", "¥": "yên"}
"""Before a number."""

SIGNS: Mapping[str, str] = {
    "&": "và",
    "+": "cộng",
    "=": "bằng",
    "≥": "lớn hơn hoặc bằng",
    "≤": "nhỏ hơn hoặc bằng",
    "±": "cộng trừ",
    "×": "nhân",
    "÷": "chia",
    "%": "phần trăm",
    "‰": "phần nghìn",
    "°": "độ",
    "₫": "đồng",
    "$": "đô la",
    "€": "ơ rô",
    "≈": "khoảng",
    "<": "nhỏ hơn",
    ">": "lớn hơn",
    "£": "bảng Anh",
    "¥": "yên",
}
"""Signs that are words where they stand."""

LETTERS: Mapping[str, str] = {
    "a": "a",
    "ă": "á",
    "â": "ớ",
    "b": "bê",
    "c": "xê",
    "d": "dê",
    "đ": "đê",
    "e": "e",
    "ê": "ê",
    "f": "ép",
    "g": "giê",
    "h": "hát",
    "i": "i",
    "j": "gi",
    "k": "ca",
    "l": "e lờ",
    "m": "em mờ",
    "n": "en nờ",
    "o": "o",
    "ô": "ô",
    "ơ": "ơ",
    "p": "pê",
    "q": "quy",
    "r": "e rờ",
    "s": "ét sì",
    "t": "tê",
    "u": "u",
    "ư": "ư",
    "v": "vê",
    "w": "vê kép",
    "x": "ích xì",
    "y": "y",
    "z": "dét",
}
"""The names of the letters."""

PER = _words(
    "người hộ khẩu ngày đêm đợt tuần tháng quý năm giờ phút giây buổi lần lượt suất con cây bao chai tấn tạ yến lít "
    "mét sào thôn làng xã phường"
)
"""After a slash these count: ``2 lần/ngày`` is hai lần một ngày."""

NO_COUNT = _words(
    "và hoặc hay tại tới này đến do là ở của để vừa sẽ các toàn theo khi từ trên trong lúc cho với thì mà nếu được "
    "không có bắt về vào ra nhằm tức âm dương hàng hằng qua sau trước năm phải đã đang mời như vì nên cũng bằng"
)
"""Words after a number that are not what it counts."""

DATE_BEFORE = _words("ngày mùng mồng sáng trưa chiều tối đêm hôm nay mai qua khánh lễ tết dịp rằm nhật")
"""Before ``2-12`` or ``6/9`` these say that it is a date."""

SHARE_BEFORE = _words(
    "khoảng gần hơn chỉ tầm chiếm đạt tăng giảm còn được số nhà hẻm ngõ kiệt thửa lô đường lệ điều khoản mục"
)
"""Before ``2/3`` these say that it is no date."""

RANGE_BEFORE = SHARE_BEFORE | _words("từ cấp lớp độ mức tuổi trang thứ tổ thôn làng buôn tầng phòng tháng quý")
"""Before ``5-7`` these say that it is no date."""

ROMAN_BEFORE = _words(
    "khóa khoá kỳ kì hội nghị thứ lần quý cấp kỷ chương phần mục điều bậc loại hạng nhóm vùng khu tập quyển phiên đợt "
    "đoạn độ bảng hồi phụ lục"
)
"""Words before a Roman numeral."""

PHONE_BEFORE = (
    "điện thoại",
    "đt",
    "sđt",
    "gọi",
    "hotline",
    "tổng đài",
    "đường dây nóng",
    "liên hệ",
    "zalo",
    "fax",
    "di động",
    "số máy",
)
"""What announces a telephone number in the same sentence."""

TIERS = _words("tỉnh huyện xã phường thị thành quận tp")
"""After what may be a syllable or an abbreviation, in a line of capitals, these say that it is one: CA XÃ."""

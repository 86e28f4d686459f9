"""Kinds of files that are wrong before anybody looks at a column: encodings, compression, the build of the lines."""

from __future__ import annotations

import codecs
import gzip
import io
import zipfile

from tests.integration.ingestion.malformed_files import (
    Day,
    Kind,
    Loaded,
    Refused,
    cut,
    kept,
    packed,
    raw,
    rowless,
    whole,
)

from interlock.ingestion import errors

ENCODING = errors.BrokenEncoding
COMPRESSION = errors.BrokenCompression
GZ = ".csv.gz"
OPEN_QUOTE = Refused(errors.UnterminatedQuote, 'still open at the end of the file .*closing " is missing', 8)


def zipped(day: Day) -> bytes:
    """The file in a zip archive."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("flights.csv", day.raw)
    return archive.getvalue()


ENCODINGS = {
    "UTF-8 with a byte order mark": Kind(lambda day: codecs.BOM_UTF8 + day.raw, Loaded()),
    "two byte order marks": Kind(lambda day: codecs.BOM_UTF8 * 2 + day.raw, kept(r'"\\ufeffyear" is new')),
    "a byte order mark in the middle": Kind(
        lambda day: day.put("year", codecs.BOM_UTF8 + b"2013"),
        Loaded({(1, "year"): "\ufeff2013"}, ("year.type",)),
    ),
    "UTF-16, little end first": Kind(
        lambda day: codecs.BOM_UTF16_LE + day.text.encode("utf-16-le"), Refused(ENCODING, "UTF-16", 1)
    ),
    "UTF-16, big end first": Kind(
        lambda day: codecs.BOM_UTF16_BE + day.text.encode("utf-16-be"), Refused(ENCODING, "UTF-16", 1)
    ),
    "UTF-16 without its mark": Kind(lambda day: day.text.encode("utf-16-le"), Refused(ENCODING, "UTF-16", 1)),
    "UTF-16 without its mark, big end first": Kind(
        lambda day: day.text.encode("utf-16-be"), Refused(ENCODING, "UTF-16", 1)
    ),
    "UTF-32": Kind(lambda day: day.text.encode("utf-32-be"), Refused(ENCODING, "UTF-32", 1)),
    "Latin-1": Kind(lambda day: day.put("tailnum", "Zürich".encode("latin-1")), Refused(ENCODING, "line 3 .*0xfc", 3)),
    "Windows-1252": Kind(lambda day: day.put("tailnum", b"\x93N1\x94"), Refused(ENCODING, "line 3 .*0x93", 3)),
    "Latin-1 in a file whose lines end with CR": Kind(
        lambda day: day.put("tailnum", b"\xfc").replace(b"\n", b"\r"), Refused(ENCODING, "line 3", 3)
    ),
    "Latin-1 in the header": Kind(
        lambda day: day.raw.replace(b"origin", b"or\xedgin"), Refused(ENCODING, "line 1 .*0xed", 1)
    ),
    "a character broken at the end of a chunk": Kind(
        lambda day: day.across_chunks(b"\xe2\x82A"), Refused(ENCODING, "line 2 .*0xe2", 2)
    ),
    "a character broken two bytes into the next chunk": Kind(
        lambda day: day.across_chunks(b"\xf0\x9f\x92A"), Refused(ENCODING, "line 2 .*0xf0", 2)
    ),
    "a NUL at the end of a long line": Kind(
        lambda day: day.across_chunks(b"N\0"), Refused(errors.NulByte, "line 2 holds a NUL byte", 2)
    ),
    "an overlong slash": Kind(lambda day: day.put("tailnum", b"\xc0\xaf"), Refused(ENCODING, "line 3 .*0xc0", 3)),
    "an overlong NUL": Kind(lambda day: day.put("tailnum", b"\xc0\x80"), Refused(ENCODING, "line 3 .*0xc0", 3)),
    "half a surrogate pair": Kind(
        lambda day: day.put("tailnum", b"\xed\xa0\x80"), Refused(ENCODING, "line 3 .*0xed", 3)
    ),
    "a character beyond Unicode": Kind(
        lambda day: day.put("tailnum", b"\xf4\x90\x80\x80"), Refused(ENCODING, "line 3 .*0xf4", 3)
    ),
    "a character cut off at the end": Kind(lambda day: day.raw + b"2013,\xe2\x82", Refused(ENCODING, "line 8", 8)),
    "a NUL byte": Kind(lambda day: day.put("tailnum", b"N\0"), Refused(errors.NulByte, "line 3 holds a NUL byte", 3)),
    "a NUL byte in the header": Kind(
        lambda day: day.raw.replace(b"origin", b"or\0gin"), Refused(errors.NulByte, "line 1 holds a NUL byte", 1)
    ),
}

COMPRESSIONS = {
    "gzip": Kind(packed, Loaded(), GZ),
    "gzip cut off in its header": Kind(cut(packed, 6), Refused(COMPRESSION, "cut off"), GZ),
    "gzip cut off after its header": Kind(cut(packed, 10), Refused(COMPRESSION, "cut off"), GZ),
    "gzip cut off in the middle": Kind(
        lambda day: day.packed[: len(day.packed) // 2], Refused(COMPRESSION, "cut off"), GZ
    ),
    "gzip cut off in its checksum": Kind(cut(packed, -6), Refused(COMPRESSION, "cut off"), GZ),
    "gzip cut off by one byte": Kind(cut(packed, -1), Refused(COMPRESSION, "cut off"), GZ),
    "gzip with a wrong checksum": Kind(
        lambda day: day.packed[:-8] + b"xxxx" + day.packed[-4:], Refused(COMPRESSION, "damaged: CRC"), GZ
    ),
    "gzip with a wrong length": Kind(
        lambda day: day.packed[:-4] + b"xxxx", Refused(COMPRESSION, "damaged: Incorrect length"), GZ
    ),
    "gzip with damaged data": Kind(
        lambda day: day.packed[:20] + b"\xff" * 20 + day.packed[40:], Refused(COMPRESSION, "damaged"), GZ
    ),
    "gzip with garbage after it": Kind(
        lambda day: day.packed + b"garbage", Refused(COMPRESSION, "comes something that is no gzip"), GZ
    ),
    "gzip filled up with zeros": Kind(lambda day: day.packed + bytes(512), Loaded(), GZ),
    "gzip in two members": Kind(lambda day: gzip.compress(day.raw[:300]) + gzip.compress(day.raw[300:]), Loaded(), GZ),
    "gzip in two members, the second cut off": Kind(
        lambda day: gzip.compress(day.raw[:300]) + gzip.compress(day.raw[300:])[:-9],
        Refused(COMPRESSION, "cut off"),
        GZ,
    ),
    "gzip of gzip": Kind(lambda day: gzip.compress(day.packed), Refused(COMPRESSION, "gzip twice"), GZ),
    "gzip of nothing": Kind(whole(gzip.compress(b"")), Refused(errors.EmptyFile, "zero bytes"), GZ),
    "no bytes under a gzip name": Kind(whole(b""), Refused(errors.EmptyFile, "zero bytes"), GZ),
    "plain text under a gzip name": Kind(raw, Refused(COMPRESSION, "not a gzip file"), GZ),
    "gzip under a plain name": Kind(packed, Refused(COMPRESSION, "its name does not say so")),
    "a zip archive": Kind(zipped, Refused(COMPRESSION, "a zip archive")),
    "a zip archive under a gzip name": Kind(zipped, Refused(COMPRESSION, "not a gzip file"), GZ),
    "zstd under a plain name": Kind(whole(b"\x28\xb5\x2f\xfd\x04\x00"), Refused(COMPRESSION, "zstd")),
    "a little gzip that is one endless line": Kind(
        lambda day: gzip.compress(day.raw + b"2013," * (14 * (1 << 20)), 1),
        Refused(errors.UnreadableRow, "line 8 is longer than", 8),
        GZ,
    ),
}

LINES = {
    "no bytes": Kind(whole(b""), Refused(errors.EmptyFile, "zero bytes")),
    "a byte order mark alone": Kind(whole(codecs.BOM_UTF8), Refused(errors.EmptyFile, "empty but for")),
    "line ends alone": Kind(whole(b"\n\n\n"), Refused(errors.BrokenHeader, "column 1 without a name")),
    "a header alone": Kind(rowless, Refused(errors.NoRows, "a header and no rows")),
    "a header without its line end": Kind(cut(rowless, -1), Refused(errors.NoRows, "a header and no rows")),
    "no line end after the last row": Kind(cut(raw, -1), Loaded()),
    "lines that end with CR LF": Kind(lambda day: day.ended("\r\n").encode(), Loaded()),
    "lines that end with CR": Kind(lambda day: day.ended("\r").encode(), Loaded()),
    "CR LF after the header, LF after rows": Kind(lambda day: day.raw.replace(b"\n", b"\r\n", 1), Loaded()),
    "LF, and CR LF after one row": Kind(
        lambda day: day.line(3, day.lines[2] + "\r"), Refused(errors.MixedLineEnds, "line 3 ends in another way", 3)
    ),
    "CR LF, and LF after one row": Kind(
        lambda day: day.ended("\r\n").replace(day.lines[2] + "\r", day.lines[2]).encode(),
        Refused(errors.MixedLineEnds, "line 3 ends in another way", 3),
    ),
    "a CR in a value without quotes": Kind(
        lambda day: day.put("tailnum", "N1\rN2"), Refused(errors.MixedLineEnds, "line 3", 3)
    ),
    "a blank line in the middle": Kind(lambda day: day.before(4, ""), Refused(errors.RaggedRow, "line 4 has fewer", 4)),
    "a blank line at the end": Kind(lambda day: day.raw + b"\n", Refused(errors.RaggedRow, "line 8 has fewer", 8)),
    "a line of spaces": Kind(lambda day: day.before(4, "   "), Refused(errors.RaggedRow, "line 4 has fewer", 4)),
    "a comma after every line": Kind(
        lambda day: day.ended(",\n").encode(), Refused(errors.BrokenHeader, "column 20 without a name")
    ),
    "a comma after every row": Kind(
        lambda day: day.ended(",\n").encode().replace(b",\n", b"\n", 1), Refused(errors.RaggedRow, "line 2 has more", 2)
    ),
    "a row too short": Kind(lambda day: day.line(3, "2013,1"), Refused(errors.RaggedRow, '3 has fewer .*"day"', 3)),
    "a row too long": Kind(
        lambda day: day.line(3, day.lines[2] + ",1"), Refused(errors.RaggedRow, "line 3 has more", 3)
    ),
    "a row cut off": Kind(lambda day: day.raw + b"2013,1,5,5", Refused(errors.RaggedRow, "line 8 .*looks cut off", 8)),
    "a quote that never ends": Kind(lambda day: day.put("tailnum", '"N1'), OPEN_QUOTE),
    "one quote within a value": Kind(lambda day: day.put("tailnum", 'N"1'), OPEN_QUOTE),
    "two quotes within a value": Kind(
        lambda day: day.put("tailnum", 'N"1"4'),
        Loaded({(1, "tailnum"): "N14"}),
    ),
    "a backslash before a quote": Kind(lambda day: day.put("tailnum", '"N\\"1"'), OPEN_QUOTE),
    "doubled quotes": Kind(
        lambda day: day.put("tailnum", '"N""1"""'), Loaded({(1, "tailnum"): 'N"1"'}, ("tailnum.pattern",))
    ),
    "every value in quotes": Kind(
        lambda day: "".join(
            ",".join(f'"{item}"' for item in line) + "\n" for line in (day.columns, *day.rows)
        ).encode(),
        Loaded(),
    ),
    "a line end within quotes": Kind(
        lambda day: day.put("tailnum", '"N1\nN2"'), Loaded({(1, "tailnum"): "N1\nN2"}, ("tailnum.pattern",))
    ),
    "semicolons": Kind(lambda day: day.raw.replace(b",", b";"), Refused(errors.WrongDelimiter, "semicolons")),
    "tabs": Kind(lambda day: day.raw.replace(b",", b"\t"), Refused(errors.WrongDelimiter, "tabs")),
    "bars": Kind(lambda day: day.raw.replace(b",", b"|"), Refused(errors.WrongDelimiter, "bars")),
    "a comment before the header": Kind(
        lambda day: b"# all flights\n" + day.raw, Refused(errors.ColumnsDrifted, '"# all flights" not in the contract')
    ),
    "a comment between rows": Kind(
        lambda day: day.before(4, "# resumed"), Refused(errors.RaggedRow, "line 4 has fewer", 4)
    ),
    "a total below the rows": Kind(
        lambda day: day.raw + b"TOTAL,6\n", Refused(errors.RaggedRow, 'line 8 .*nothing for "day"', 8)
    ),
    "an end marker": Kind(lambda day: day.before(4, "\\."), Refused(errors.EndMarker, r"line 4 is only \\\\?\.", 4)),
    "an end marker at the end": Kind(
        lambda day: day.raw + b"\\.", Refused(errors.EndMarker, r"line 8 is only \\\\?\.", 8)
    ),
    "an error page": Kind(
        whole(b"<!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>\n"),
        Refused(errors.ColumnsDrifted, "DOCTYPE html"),
    ),
    "JSON": Kind(
        lambda day: b'[{"year": 2013, "month": 1},\n{"year": 2013, "month": 1}]\n',
        Refused(errors.BrokenHeader, "its header leaves column 3 without a name"),
    ),
    "a line of 2 MB": Kind(
        lambda day: day.put("tailnum", "N" * 2_000_000), Loaded({(1, "tailnum"): "N" * 2_000_000}, ("tailnum.pattern",))
    ),
}

"""The codec in C and in Python against the vectors, against each other and, where it is installed,
against the protobuf library."""

import base64
import copy
import random
import unittest
from datetime import datetime, timedelta, timezone

import support

from chatstore import calls, codec, messages
from chatstore.contract import Message
from chatstore.enums import MessageCategory

MESSAGES = {each.name: each for each in vars(calls).values() if isinstance(each, Message)}
CODECS = {"pure": (codec.PureEncoder, codec.PureDecoder)}
if codec.native is not None:
    CODECS["native"] = (codec.native.Encoder, codec.native.Decoder)


def encoder(kind, message):
    return CODECS[kind][0](message.name, [
        (f.number, f.name, codec.KINDS[f.kind], f.repeated, f.presence,
         encoder(kind, f.message) if f.message else None) for f in message.fields])


def decoder(kind, message, zone=timezone.utc):
    return CODECS[kind][1](message.name, zone, [
        (f.number, f.name, codec.KINDS[f.kind], f.repeated, f.presence,
         decoder(kind, f.message, zone) if f.message else None, None, False)
        for f in message.fields])


def from_json(message, values):
    """What the codec takes, from proto3's JSON."""
    return {field.name: _value(field, values[field.name])
            for field in message.fields if field.name in values}


def _value(field, value):
    if field.repeated:
        single = copy.copy(field)
        single.repeated = False
        return [_value(single, each) for each in value]
    if field.kind == "message":
        return from_json(field.message, value)
    if field.kind == "timestamp":
        return datetime.fromisoformat(value)
    if field.kind == "int64":
        return int(value)
    return base64.b64decode(value) if field.kind == "bytes" else value


def complete(message, values):
    """With what the decoder adds for absent fields."""
    row = {}
    for field in message.fields:
        value = values.get(field.name)
        if field.repeated:
            value = value or []
        if field.kind == "message" and value is not None:
            value = ([complete(field.message, each) for each in value] if field.repeated
                     else complete(field.message, value))
        elif value is None and not field.presence and not field.repeated:
            value = {"string": "", "bytes": b"", "bool": False, "double": 0.0}.get(field.kind, 0)
        row[field.name] = value
    return row


class Vectors(unittest.TestCase):
    def test_bytes(self):
        cases = support.vectors("messages")
        self.assertLessEqual({each["message"] for each in cases}, set(MESSAGES))
        for kind in CODECS:
            for case in cases:
                with self.subTest(codec=kind, message=case["message"], case=case["case"]):
                    message = MESSAGES[case["message"]]
                    values = from_json(message, case["json"])
                    data = bytes.fromhex(case["hex"])
                    self.assertEqual(encoder(kind, message).encode(values), data)
                    self.assertEqual(decoder(kind, message).decode(data), complete(message, values))

    def test_protobuf_library(self):
        try:
            from google.protobuf import json_format
        except ImportError:
            self.skipTest("there is no protobuf library")
        for case in support.vectors("messages"):
            with self.subTest(message=case["message"], case=case["case"]):
                made = json_format.ParseDict(case["json"], messages.get(case["message"])())
                self.assertEqual(made.SerializeToString(deterministic=True).hex(), case["hex"])


class Encoding(unittest.TestCase):
    """Run for both codecs."""

    def each(self, message, values):
        for kind in CODECS:
            with self.subTest(codec=kind):
                yield encoder(kind, message), values

    def test_text_takes_numbers(self):
        request = calls.GET_CHAT_MESSAGE_BY_MESSAGE_ID.request
        for made, values in self.each(request, {"chat_id": 1, "message_id": -77}):
            self.assertEqual(made.encode(values), made.encode({"chat_id": 1, "message_id": "-77"}))

    def test_refusals(self):
        request = calls.SAVE_CHAT_MESSAGE.request
        bad = [
            ({"chat_id": "1"}, TypeError, "chat_id must be an int"),
            ({"chat_id": 1 << 63}, ValueError, "chat_id is out of the range"),
            ({"chat_id": -(1 << 63) - 1}, ValueError, "chat_id is out of the range"),
            ({"chat_id": None}, TypeError, "chat_id may not be None"),
            ({"message_text": b"x"}, TypeError, "message_text must be a str"),
            ({"message_text": True}, TypeError, "message_text must be a str"),
            ({"message_text": "\ud800"}, ValueError, "surrogates"),
            ({"date": "2026"}, TypeError, "date must be a datetime"),
            ({"nothing": 1}, TypeError, "no field nothing"),
        ]
        for values, kind, text in bad:
            for made, _ in self.each(request, values):
                with self.assertRaisesRegex(kind, text):
                    made.encode(values)
        for made, _ in self.each(calls.GET_CHAT_USERS.request, None):
            with self.assertRaisesRegex(ValueError, "limit is out of the range"):
                made.encode({"limit": 1 << 31})
            with self.assertRaises(TypeError):
                made.encode({"limit": 1.5})
        for made, _ in self.each(calls.ADD_SPAM_MESSAGE.request, None):
            with self.assertRaisesRegex(TypeError, "score must be a number"):
                made.encode({"score": "1"})
            self.assertEqual(made.encode({"score": 2}), made.encode({"score": 2.0}))
        for made, _ in self.each(calls.ENVELOPE_REQUEST, None):
            with self.assertRaises(TypeError):
                made.encode({"calls": [{"payload": "text"}]})

    def test_absent_and_empty(self):
        request = calls.SET_SETTING.request
        for made, _ in self.each(request, None):
            self.assertEqual(made.encode({"key": "", "value": None, "data_source": ""}), b"")
            self.assertEqual(made.encode({"value": ""}), b"\x12\x00")

    def test_long_lengths(self):
        for size in (126, 127, 128, 16383, 16384, 70000):
            inner = {"token": "x" * size}
            for made, _ in self.each(calls.BATCH_UPDATE_TOKENS.request, None):
                pure = encoder("pure", calls.BATCH_UPDATE_TOKENS.request)
                values = {"updates": [inner, {"token": "y"}]}
                self.assertEqual(made.encode(values), pure.encode(values))

    def test_times(self):
        request = calls.SAVE_CHAT_MESSAGE.request
        zone = timezone(timedelta(hours=3, minutes=30))
        times = [datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999), datetime(1970, 1, 1),
                 datetime(1969, 12, 31, 23, 59, 59, 1), datetime(2000, 2, 29, 1, 2, 3),
                 datetime(1900, 2, 28), datetime(2026, 6, 7, 8, 9, 10, tzinfo=zone)]
        maker = random.Random(5)
        times += [datetime(1, 1, 1) + timedelta(seconds=maker.randrange(315537897599),
                                                microseconds=maker.randrange(1000000))
                  for _ in range(2000)]
        for kind in CODECS:
            there, back = encoder(kind, request), decoder(kind, request, None)
            aware = decoder(kind, request)
            for time in times:
                data = there.encode({"date": time})
                wanted = time.astimezone(timezone.utc) if time.tzinfo else time
                self.assertEqual(back.decode(data)["date"], wanted.replace(tzinfo=None))
                self.assertEqual(aware.decode(data)["date"], wanted.replace(tzinfo=timezone.utc))


class Decoding(unittest.TestCase):
    def test_damaged(self):
        """Both say the same of bytes that are damaged in any way, and neither dies of it."""
        maker = random.Random(7)
        for case in support.vectors("messages"):
            message = MESSAGES[case["message"]]
            data = bytes.fromhex(case["hex"])
            made = {kind: decoder(kind, message) for kind in CODECS}
            for i in range(min(len(data), 24)):
                damaged = bytearray(data[:maker.randrange(len(data) + 1)] if i % 2 else data)
                if damaged:
                    damaged[maker.randrange(len(damaged))] = maker.randrange(256)
                results = {kind: self._result(each, bytes(damaged)) for kind, each in made.items()}
                self.assertEqual(len(set(results.values())), 1, (case["message"], damaged, results))

    @staticmethod
    def _result(made, data):
        try:
            return repr(made.decode(data))
        except ValueError:
            return "ValueError"

    def test_unknown_fields_are_skipped(self):
        extra = b"\xf8\x7f\x05" + b"\xfa\x7f\x03abc" + b"\xf9\x7f12345678" + b"\xfd\x7f1234"
        for kind in CODECS:
            row = decoder(kind, calls.GET_SETTING.response).decode(extra + b"\x0a\x01v" + extra)
            self.assertEqual(row, {"value": "v"})

    def test_flat_messages_and_known_texts(self):
        known = {"a": MessageCategory.BOT}
        for kind in CODECS:
            make = CODECS[kind][1]
            inner = make("Inner", None, [
                (1, "in_text", codec.KINDS["string"], False, False, None, known, False),
                (2, "in_count", codec.KINDS["int64"], False, True, None, None, False)])
            made = make("Outer", None, [
                (1, "text", codec.KINDS["string"], False, False, None, known, False),
                (2, "inner", codec.KINDS["message"], False, True, inner, None, True)])
            self.assertEqual(made.decode(b""), {"text": "", "in_text": None, "in_count": None})
            self.assertEqual(made.decode(b"\x0a\x01b\x12\x00"),
                             {"text": "b", "in_text": "", "in_count": None})
            row = made.decode(b"\x0a\x01a\x12\x05\x0a\x01a\x10\x07")
            self.assertIs(row["text"], MessageCategory.BOT)
            self.assertIs(row["in_text"], MessageCategory.BOT)
            self.assertEqual((list(row), row["in_count"]), (["text", "in_text", "in_count"], 7))

    def test_lists_are_not_shared(self):
        for kind in CODECS:
            made = decoder(kind, calls.GET_ALL_TOKENS.response)
            made.decode(b"")["tokens"].append("x")
            self.assertEqual(made.decode(b"")["tokens"], [])


class Native(unittest.TestCase):
    def test_is_there(self):
        self.assertIsNotNone(codec.native, "chatstore._native was not built")
        self.assertIs(codec.Encoder, codec.native.Encoder)

    def test_bad_descriptions(self):
        for fields in ([(0, "x", 0, False, False, None)], [(1, "x", 99, False, False, None)],
                       [(1, "x", 8, False, False, None)], [1]):
            with self.assertRaises((ValueError, TypeError)):
                codec.native.Encoder("M", fields)
        for fields in ([(64, "x", 0, False, False, None, None, False)],
                       [(1, "x", 0, False, False, None, None, True)],
                       [(1, "x", 0, False, False, None, None, False)] * 2):
            with self.assertRaises((ValueError, TypeError)):
                codec.native.Decoder("M", None, fields)


if __name__ == "__main__":
    unittest.main()

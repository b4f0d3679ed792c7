"""SetSetting as bytes, and what its answer says: for tests of writes that are sent by hand."""

from served import field

OK, RESOURCE_EXHAUSTED = 0, 8


def write_frame(key, source="", request_id="", value="v"):
    payload = field(1, key.encode()) + field(2, value.encode()) + (field(3, source.encode()) if source else b"")
    call = field(1, b"/chatstore.v1.SettingsService/SetSetting") + field(2, payload)
    return field(2, call + (field(4, request_id.encode()) if request_id else b""))


def parts_of(message):
    """Field number to value of a message: bytes, or a number."""
    parts, at = {}, 0

    def number():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = number()
        if key & 7 == 2:
            count = number()
            parts[key >> 3] = message[at:at + count]
            at += count
        else:
            parts[key >> 3] = number()
    return parts


def result_of(reply):
    """The fields of the only result of a reply."""
    return parts_of(parts_of(reply)[1])


def status_of(reply):
    return parts_of(result_of(reply).get(1, b"")).get(1, OK)

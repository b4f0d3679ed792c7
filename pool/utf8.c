#include "utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Bytes of the sequence that starts at `at`, 0 if it is none. */
static size_t sequence_bytes(const uint8_t *at, size_t bytes)
{
    uint8_t first = at[0];
    if (first < 0x80)
        return 1;
    size_t length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (length == 0 || length > bytes)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    }
    bool overlong = (first == 0xe0 && at[1] < 0xa0) || (first == 0xf0 && at[1] < 0x90);
    bool surrogate = first == 0xed && at[1] >= 0xa0;
    bool too_high = first == 0xf4 && at[1] >= 0x90;
    return overlong || surrogate || too_high ? 0 : length;
}

size_t utf8_valid_bytes(const void *text, size_t bytes)
{
    const uint8_t *start = text;
    size_t at = 0;
    while (at < bytes) {
        uint64_t eight;
        if (bytes - at >= sizeof eight) { /* plain ASCII, eight at a time */
            memcpy(&eight, start + at, sizeof eight);
            if ((eight & 0x8080808080808080u) == 0) {
                at += sizeof eight;
                continue;
            }
        }
        size_t length = sequence_bytes(start + at, bytes - at);
        if (length == 0)
            return at;
        at += length;
    }
    return at;
}

#include "router/siphash.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { COMPRESS_ROUNDS = 2, FINISH_ROUNDS = 4 };

struct state {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotate_left(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

/* Little-endian, of up to eight bytes. */
static uint64_t load_word(const uint8_t *data, size_t bytes)
{
    uint64_t word = 0;
    for (size_t i = 0; i < bytes; i++)
        word |= (uint64_t)data[i] << (8 * i);
    return word;
}

static void run_rounds(struct state *s, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotate_left(s->v1, 13) ^ s->v0;
        s->v3 = rotate_left(s->v3, 16) ^ s->v2;
        s->v0 = rotate_left(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = rotate_left(s->v1, 17) ^ s->v2;
        s->v3 = rotate_left(s->v3, 21) ^ s->v0;
        s->v2 = rotate_left(s->v2, 32);
    }
}

static void absorb(struct state *s, uint64_t word)
{
    s->v3 ^= word;
    run_rounds(s, COMPRESS_ROUNDS);
    s->v0 ^= word;
}

uint64_t siphash(const uint8_t key[SIPHASH_KEY_BYTES], const uint8_t *data, size_t bytes)
{
    uint64_t k0 = load_word(key, 8);
    uint64_t k1 = load_word(key + 8, 8);
    /* The constants spell "somepseudorandomlygeneratedbytes". */
    struct state s = {k0 ^ 0x736f6d6570736575U, k1 ^ 0x646f72616e646f6dU, k0 ^ 0x6c7967656e657261U,
                      k1 ^ 0x7465646279746573U};
    size_t rest = bytes;
    for (; rest >= 8; rest -= 8, data += 8)
        absorb(&s, load_word(data, 8));
    absorb(&s, load_word(data, rest) | (uint64_t)bytes << 56);
    s.v2 ^= 0xff;
    run_rounds(&s, FINISH_ROUNDS);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

void siphash_make_key(uint8_t key[SIPHASH_KEY_BYTES])
{
    if (getrandom(key, SIPHASH_KEY_BYTES, GRND_NONBLOCK) == SIPHASH_KEY_BYTES)
        return;
    /* Early in boot: the clock and where this process was loaded are what there is. */
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t words[2] = {(uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 30,
                         (uint64_t)(uintptr_t)key ^ (uint64_t)(uintptr_t)&now << 16};
    memcpy(key, words, SIPHASH_KEY_BYTES);
}

/* Decisions drawn from a fuzzer's bytes: numbers, texts, whole messages by their descriptor. When
 * the bytes are used up everything is 0. */
#ifndef CHATSTORE_TESTS_FUZZ_CHOOSE_H
#define CHATSTORE_TESTS_FUZZ_CHOOSE_H

#include "proto/call.h"

/* Where decisions come from, and the memory of what they make; freed by choose_end. */
struct choose {
    const uint8_t *at, *end;
    void *memory; /* a list */
};

void choose_begin(struct choose *choose, const uint8_t *data, size_t size);
void choose_end(struct choose *choose);
bool choose_is_over(const struct choose *choose);

/* Below bound, which is at most 256. */
unsigned choose_below(struct choose *choose, unsigned bound);
/* Short, or long now and then; often one that was made before would be. Never NULL. */
char *choose_text(struct choose *choose);
/* A request, its fields present or not, with values that its call's rules allow, mostly. */
ProtobufCMessage *choose_request(struct choose *choose, const struct call *call);
/* The message's bytes. */
ProtobufCBinaryData choose_pack(struct choose *choose, const ProtobufCMessage *message);

#endif

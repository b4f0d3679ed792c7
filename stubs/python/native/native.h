/* The parts of chatstore._native: the codec of messages (encode.c, decode.c, times.c) and the
 * engine in this process (engine.c). The same codec exists in Python, in chatstore/codec.py, which
 * says what it does; both are tested with the same cases.
 *
 * Everything here is called with the interpreter's lock held, unless said otherwise. A function
 * that fails has set an exception. */
#ifndef CHATSTORE_STUBS_PYTHON_NATIVE_H
#define CHATSTORE_STUBS_PYTHON_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* KINDS of chatstore/codec.py. */
enum kind {
    KIND_INT64,
    KIND_INT32,
    KIND_UINT32,
    KIND_BOOL,
    KIND_DOUBLE,
    KIND_STRING,
    KIND_BYTES,
    KIND_TIMESTAMP,
    KIND_MESSAGE,
    KIND_COUNT
};

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_LENGTH = 2, WIRE_FIXED32 = 5 };
enum wire kind_wire(enum kind kind);

/* ---- Bytes that grow ---- */

/* Starts in memory of its own; `out_fini` frees what came from the heap. */
struct out {
    uint8_t *data;
    size_t bytes, room;
    uint8_t start[1024];
};

void out_init(struct out *out);
void out_fini(struct out *out);
/* Room for `bytes` more behind the end, or NULL with MemoryError. */
uint8_t *out_reserve(struct out *out, size_t bytes);
bool out_append(struct out *out, const void *data, size_t bytes);
bool out_varint(struct out *out, uint64_t value);
/* A value that begins with its length: open before it is written, close behind it. */
bool out_open_length(struct out *out, size_t *mark);
bool out_close_length(struct out *out, size_t mark);

/* ---- Reading ---- */

struct in {
    const uint8_t *at, *end;
};

/* False, with no exception, if the bytes end or the number is too long. */
bool in_varint(struct in *in, uint64_t *value);
/* The bytes of a value of this wire type are passed over; of WIRE_LENGTH `value` are they. */
bool in_skip(struct in *in, enum wire wire, struct in *value);

/* ---- The types ---- */

extern PyTypeObject encoder_type, decoder_type, engine_type;

/* Append the message that `values`, a dict, describe. */
bool encoder_encode(PyObject *encoder, PyObject *values, struct out *out);
/* A new dict of the message in the bytes. */
PyObject *decoder_decode(PyObject *decoder, struct in in);

/* ---- Times (datetime.datetime and google.protobuf.Timestamp) ---- */

bool times_import(void);
/* Naive times are UTC; aware ones are converted. name is for texts. */
bool time_encode(PyObject *value, const char *message, PyObject *name, struct out *out);
PyObject *time_decode(struct in in, const char *message, PyObject *zone);

#endif

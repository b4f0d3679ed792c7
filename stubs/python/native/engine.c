/* The engine in this process: chatstore's embedded transport behind a Python type. A frame goes in,
 * the calling thread waits for its reply without the interpreter's lock. */
#include "native.h"

#include "stubs/c/transport.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of libchatstore-embedded, which is linked into this module. */
extern const struct chatstore_transport_ops chatstore_embedded_waiting_transport;

enum { REPLY_BYTES_MAX = 1 << 30 };

struct engine {
    PyObject_HEAD pid_t pid; /* the threads of the engine live in this process only */
    pthread_mutex_t lock;
    pthread_cond_t idle; /* inside became 0 */
    void *transport;     /* NULL: closed */
    size_t inside;       /* threads that use the transport */
};

/* A frame that a thread waits for. */
struct passage {
    struct chatstore_frame frame; /* first member */
    pthread_mutex_t lock;
    pthread_cond_t came;
    bool is_done;
    enum chatstore_status status;
    char message[256];
    uint8_t *reply;
    size_t reply_bytes;
};

static void passage_done(struct chatstore_frame *frame, const struct chatstore_frame_result *result)
{
    struct passage *passage = (struct passage *)frame;
    pthread_mutex_lock(&passage->lock);
    passage->status = result->status;
    if (result->status != CHATSTORE_OK) {
        snprintf(passage->message, sizeof passage->message, "%s", result->message);
    } else {
        passage->reply = malloc(result->reply_bytes + 1);
        passage->reply_bytes = result->reply_bytes;
        if (passage->reply)
            memcpy(passage->reply, result->reply, result->reply_bytes);
    }
    passage->is_done = true;
    pthread_cond_signal(&passage->came);
    pthread_mutex_unlock(&passage->lock);
}

static void passage_run(struct passage *passage, void *transport)
{
    pthread_mutex_init(&passage->lock, NULL);
    pthread_cond_init(&passage->came, NULL);
    passage->frame.done = passage_done;
    chatstore_embedded_waiting_transport.submit(transport, &passage->frame);
    pthread_mutex_lock(&passage->lock);
    while (!passage->is_done)
        pthread_cond_wait(&passage->came, &passage->lock);
    pthread_mutex_unlock(&passage->lock);
    pthread_cond_destroy(&passage->came);
    pthread_mutex_destroy(&passage->lock);
}

/* ---- Using it ---- */

/* The transport, which stays until engine_leave(); or NULL with an exception. */
static void *engine_enter(struct engine *self)
{
    if (self->pid != getpid()) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the engine was opened before fork(); a child process must open its own");
        return NULL;
    }
    pthread_mutex_lock(&self->lock);
    void *transport = self->transport;
    if (transport)
        self->inside++;
    pthread_mutex_unlock(&self->lock);
    if (!transport)
        PyErr_SetString(PyExc_RuntimeError, "the engine is closed");
    return transport;
}

static void engine_leave(struct engine *self)
{
    pthread_mutex_lock(&self->lock);
    if (--self->inside == 0)
        pthread_cond_broadcast(&self->idle);
    pthread_mutex_unlock(&self->lock);
}

/* Send the frame and wait. On success the reply's bytes are the caller's, to be freed with free().
 */
static bool engine_exchange(struct engine *self, const uint8_t *bytes, size_t byte_count,
                            struct passage *passage)
{
    void *transport = engine_enter(self);
    if (!transport)
        return false;
    passage->frame.bytes = bytes;
    passage->frame.byte_count = byte_count;
    passage->frame.timeout_ms = UINT32_MAX; /* the calls in the frame have their own */
    passage->is_done = false;
    passage->reply = NULL;
    Py_BEGIN_ALLOW_THREADS;
    passage_run(passage, transport);
    engine_leave(self);
    Py_END_ALLOW_THREADS;
    if (passage->status != CHATSTORE_OK)
        PyErr_SetString(PyExc_RuntimeError, passage->message);
    else if (!passage->reply)
        PyErr_NoMemory();
    return passage->reply != NULL;
}

static PyObject *exchange(PyObject *object, PyObject *frame)
{
    Py_buffer buffer;
    if (PyObject_GetBuffer(frame, &buffer, PyBUF_SIMPLE) != 0)
        return NULL;
    struct passage passage;
    PyObject *reply = NULL;
    if (engine_exchange((struct engine *)object, buffer.buf, (size_t)buffer.len, &passage)) {
        reply = PyBytes_FromStringAndSize((char *)passage.reply, (Py_ssize_t)passage.reply_bytes);
        free(passage.reply);
    }
    PyBuffer_Release(&buffer);
    return reply;
}

/* ---- One call ---- */

/* The payload of a reply with one result that is plainly OK: nothing in it but payload and the
 * names of sources. False for all else, which Python looks at. */
static bool plain_payload(struct in reply, struct in *payload)
{
    enum { RESULTS = 1 << 3 | WIRE_LENGTH, PAYLOAD = 2 << 3 | WIRE_LENGTH };
    enum { SOURCE = 4 << 3 | WIRE_LENGTH, MERGED_SOURCES = 5 << 3 | WIRE_LENGTH };
    uint64_t key;
    struct in result;
    *payload = (struct in){reply.end, reply.end};
    if (!in_varint(&reply, &key) || key != RESULTS || !in_skip(&reply, WIRE_LENGTH, &result) ||
        reply.at != reply.end)
        return false;
    while (result.at < result.end) {
        struct in value;
        if (!in_varint(&result, &key) || !in_skip(&result, (enum wire)(key & 7), &value))
            return false;
        if (key == PAYLOAD)
            *payload = value;
        else if (key != SOURCE && key != MERGED_SOURCES)
            return false;
    }
    return true;
}

/* A frame with one call: Request.calls = 2, Call.method = 1 (in `method`, encoded), payload = 2,
 * timeout_ms = 3. */
static bool append_call(struct out *out, PyObject *method, PyObject *encoder, PyObject *values,
                        unsigned long timeout_ms)
{
    size_t call, payload;
    return out_append(out, "\x12", 1) && out_open_length(out, &call) &&
           out_append(out, PyBytes_AS_STRING(method), (size_t)PyBytes_GET_SIZE(method)) &&
           out_append(out, "\x12", 1) && out_open_length(out, &payload) &&
           encoder_encode(encoder, values, out) && out_close_length(out, payload) &&
           (timeout_ms == 0 || (out_append(out, "\x18", 1) && out_varint(out, timeout_ms))) &&
           out_close_length(out, call);
}

/* (answer, None) of a plain reply, else (None, the reply's bytes). */
static PyObject *answer_of(const struct passage *passage, PyObject *decoder, PyObject *key)
{
    struct in reply = {passage->reply, passage->reply + passage->reply_bytes}, payload;
    if (!plain_payload(reply, &payload))
        return Py_BuildValue("Oy#", Py_None, passage->reply, (Py_ssize_t)passage->reply_bytes);
    PyObject *row = decoder_decode(decoder, payload);
    if (!row)
        return NULL;
    PyObject *answer = PyDict_GetItemWithError(row, key);
    PyObject *pair = NULL;
    if (answer)
        pair = PyTuple_Pack(2, answer, Py_None);
    else if (!PyErr_Occurred())
        PyErr_Format(PyExc_KeyError, "%U", key);
    Py_DECREF(row);
    return pair;
}

static PyObject *run(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    enum { METHOD, ENCODER, DECODER, KEY, VALUES, TIMEOUT_MS, COUNT };
    if (count != COUNT || !PyBytes_Check(arguments[METHOD]) ||
        Py_TYPE(arguments[ENCODER]) != &encoder_type ||
        Py_TYPE(arguments[DECODER]) != &decoder_type || !PyUnicode_Check(arguments[KEY]))
        return PyErr_Format(PyExc_TypeError,
                            "run(method, encoder, decoder, key, values, timeout_ms)");
    unsigned long timeout_ms = PyLong_AsUnsignedLong(arguments[TIMEOUT_MS]);
    if (timeout_ms == (unsigned long)-1 && PyErr_Occurred())
        return NULL;
    struct out out;
    struct passage passage;
    PyObject *pair = NULL;
    out_init(&out);
    if (append_call(&out, arguments[METHOD], arguments[ENCODER], arguments[VALUES], timeout_ms) &&
        engine_exchange((struct engine *)object, out.data, out.bytes, &passage)) {
        pair = answer_of(&passage, arguments[DECODER], arguments[KEY]);
        free(passage.reply);
    }
    out_fini(&out);
    return pair;
}

/* ---- Opening and closing ---- */

static PyObject *engine_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    const char *url;
    (void)keywords;
    if (!PyArg_ParseTuple(arguments, "s", &url))
        return NULL;
    struct chatstore_transport_options options = {.reply_bytes_max = REPLY_BYTES_MAX};
    void *transport = NULL;
    char error[512] = "";
    enum chatstore_status status;
    /* A bot's standard error is not for news. */
    setenv("CHATSTORE_LOG", "warn", 0);
    Py_BEGIN_ALLOW_THREADS;
    status =
        chatstore_embedded_waiting_transport.open(url, &options, &transport, error, sizeof error);
    Py_END_ALLOW_THREADS;
    if (status != CHATSTORE_OK)
        return PyErr_Format(status == CHATSTORE_INVALID_ARGUMENT ? PyExc_ValueError
                                                                 : PyExc_RuntimeError,
                            "%s", error);
    struct engine *self = (struct engine *)type->tp_alloc(type, 0);
    if (!self) {
        chatstore_embedded_waiting_transport.close(transport);
        return NULL;
    }
    self->pid = getpid();
    self->transport = transport;
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->idle, NULL);
    return (PyObject *)self;
}

/* Without the interpreter's lock. */
static void engine_close(struct engine *self)
{
    pthread_mutex_lock(&self->lock);
    void *transport = self->transport;
    self->transport = NULL;
    while (self->inside > 0)
        pthread_cond_wait(&self->idle, &self->lock);
    pthread_mutex_unlock(&self->lock);
    if (transport)
        chatstore_embedded_waiting_transport.close(transport);
}

static PyObject *close_method(PyObject *object, PyObject *none)
{
    struct engine *self = (struct engine *)object;
    (void)none;
    /* In a child process its threads do not exist: nothing could be waited for. */
    if (self->pid == getpid()) {
        Py_BEGIN_ALLOW_THREADS;
        engine_close(self);
        Py_END_ALLOW_THREADS;
    }
    Py_RETURN_NONE;
}

static void engine_dealloc(PyObject *object)
{
    Py_XDECREF(close_method(object, NULL));
    Py_TYPE(object)->tp_free(object);
}

static PyMethodDef methods[] = {
    {"exchange", exchange, METH_O, "The encoded Reply to an encoded Request."},
    {"run", (PyCFunction)(void (*)(void))run, METH_FASTCALL,
     "run(method, encoder, decoder, key, values, timeout_ms): (answer, None) if all went well, "
     "else (None, the encoded Reply)."},
    {"close", close_method, METH_NOARGS, "Let what runs finish, close the files."},
    {0},
};

PyTypeObject engine_type = {
    .ob_base = {PyObject_HEAD_INIT(NULL) 0},
    .tp_name = "chatstore._native.Engine",
    .tp_basicsize = sizeof(struct engine),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "Engine(url): the engine on the databases of an \"embedded:\" URL.",
    .tp_new = engine_new,
    .tp_dealloc = engine_dealloc,
    .tp_methods = methods,
};

#include "native.h"

#include <string.h>

enum { FIELD_NUMBER_MAX = 63 };

struct decode_field {
    bool exists;
    enum kind kind;
    bool repeated;
    bool flat;       /* the message's fields become keys of the dict itself, None if absent */
    PyObject *key;   /* its name in the dict */
    PyObject *inner; /* the decoder of a message, or NULL */
    PyObject *known; /* a dict from texts to what stands for them, or NULL */
};

struct decoder {
    PyObject_HEAD char *name;
    PyObject *zone;
    PyObject *template; /* the dict of an empty message; lists are None in it */
    bool has_lists;
    struct decode_field fields[FIELD_NUMBER_MAX + 1]; /* by number */
};

static bool malformed(const struct decoder *self)
{
    PyErr_Format(PyExc_ValueError, "the bytes are no %s, or not all of it", self->name);
    return false;
}

static PyObject *read_text(const struct decode_field *field, struct in value)
{
    PyObject *text =
        PyUnicode_DecodeUTF8((const char *)value.at, (Py_ssize_t)(value.end - value.at), NULL);
    if (!text || !field->known)
        return text;
    PyObject *known = PyDict_GetItemWithError(field->known, text);
    if (!known && PyErr_Occurred()) {
        Py_DECREF(text);
        return NULL;
    }
    if (!known)
        return text;
    Py_DECREF(text);
    return Py_NewRef(known);
}

static PyObject *read_number(enum kind kind, uint64_t value)
{
    switch (kind) {
    case KIND_BOOL:
        return PyBool_FromLong(value != 0);
    case KIND_INT32:
        return PyLong_FromLong((int32_t)(uint32_t)value);
    case KIND_UINT32:
        return PyLong_FromUnsignedLong((uint32_t)value);
    default:
        return PyLong_FromLongLong((int64_t)value);
    }
}

static PyObject *read_double(struct in value)
{
    uint64_t bits = 0;
    for (unsigned i = 0; i < 8; i++)
        bits |= (uint64_t)value.at[i] << (8 * i);
    double number;
    memcpy(&number, &bits, sizeof number);
    return PyFloat_FromDouble(number);
}

static PyObject *read_length(const struct decoder *self, const struct decode_field *field,
                             struct in value)
{
    switch (field->kind) {
    case KIND_STRING:
        return read_text(field, value);
    case KIND_TIMESTAMP:
        return time_decode(value, self->name, self->zone);
    case KIND_MESSAGE:
        return decoder_decode(field->inner, value);
    default:
        return PyBytes_FromStringAndSize((const char *)value.at,
                                         (Py_ssize_t)(value.end - value.at));
    }
}

static bool keep(const struct decode_field *field, PyObject *row, PyObject *value)
{
    if (!value)
        return false;
    int failed;
    if (field->repeated) {
        PyObject *list = PyDict_GetItemWithError(row, field->key);
        failed = !list || PyList_Append(list, value) != 0;
    } else {
        failed = PyDict_SetItem(row, field->key, value);
    }
    Py_DECREF(value);
    return !failed;
}

static bool fill(const struct decoder *self, PyObject *row, struct in in);

/* The value of one field into the row; in stands behind the field's key. */
static bool take(const struct decoder *self, const struct decode_field *field, enum wire wire,
                 PyObject *row, struct in *in)
{
    struct in value;
    uint64_t number;
    if (!field || kind_wire(field->kind) != wire)
        return in_skip(in, wire, &value) || malformed(self);
    if (wire == WIRE_VARINT) {
        if (!in_varint(in, &number))
            return malformed(self);
        return keep(field, row, read_number(field->kind, number));
    }
    if (!in_skip(in, wire, &value))
        return malformed(self);
    if (field->flat) {
        const struct decoder *inner = (const struct decoder *)field->inner;
        return PyDict_Update(row, inner->template) == 0 && fill(inner, row, value);
    }
    return keep(field, row,
                wire == WIRE_FIXED64 ? read_double(value) : read_length(self, field, value));
}

static bool add_lists(const struct decoder *self, PyObject *row)
{
    for (unsigned i = 0; self->has_lists && i <= FIELD_NUMBER_MAX; i++) {
        const struct decode_field *field = &self->fields[i];
        if (!field->exists || !field->repeated)
            continue;
        PyObject *list = PyList_New(0);
        bool added = list && PyDict_SetItem(row, field->key, list) == 0;
        Py_XDECREF(list);
        if (!added)
            return false;
    }
    return true;
}

static bool fill(const struct decoder *self, PyObject *row, struct in in)
{
    if (!add_lists(self, row))
        return false;
    while (in.at < in.end) {
        uint64_t key;
        if (!in_varint(&in, &key))
            return malformed(self);
        uint64_t number = key >> 3;
        const struct decode_field *field = number <= FIELD_NUMBER_MAX && self->fields[number].exists
                                               ? &self->fields[number]
                                               : NULL;
        if (!take(self, field, (enum wire)(key & 7), row, &in))
            return false;
    }
    return true;
}

PyObject *decoder_decode(PyObject *decoder, struct in in)
{
    const struct decoder *self = (const struct decoder *)decoder;
    PyObject *row = PyDict_Copy(self->template);
    if (row && !fill(self, row, in))
        Py_CLEAR(row);
    return row;
}

/* ---- The type ---- */

static PyObject *decode(PyObject *self, PyObject *data)
{
    Py_buffer buffer;
    if (PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE) != 0)
        return NULL;
    const uint8_t *at = buffer.buf;
    PyObject *row = decoder_decode(self, (struct in){at, at + buffer.len});
    PyBuffer_Release(&buffer);
    return row;
}

static PyObject *zero_of(enum kind kind)
{
    switch (kind) {
    case KIND_BOOL:
        return Py_NewRef(Py_False);
    case KIND_DOUBLE:
        return PyFloat_FromDouble(0);
    case KIND_STRING:
        return PyUnicode_FromString("");
    case KIND_BYTES:
        return PyBytes_FromString("");
    default:
        return PyLong_FromLong(0);
    }
}

/* The keys of an absent message whose fields stand in the dict itself. */
static bool add_flat(PyObject *template, const struct decoder *inner)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(inner->template, &at, &key, &value)) {
        if (PyDict_SetItem(template, key, Py_None) != 0)
            return false;
    }
    return true;
}

static bool add_to_template(struct decoder *self, const struct decode_field *field, bool presence)
{
    if (field->flat)
        return add_flat(self->template, (const struct decoder *)field->inner);
    bool absent =
        presence || field->repeated || field->kind == KIND_TIMESTAMP || field->kind == KIND_MESSAGE;
    PyObject *value = absent ? Py_NewRef(Py_None) : zero_of(field->kind);
    bool added = value && PyDict_SetItem(self->template, field->key, value) == 0;
    Py_XDECREF(value);
    return added;
}

static bool read_field(struct decoder *self, PyObject *description)
{
    unsigned number, kind;
    int repeated, presence, flat;
    PyObject *key, *inner, *known;
    if (!PyTuple_Check(description)) {
        PyErr_SetString(PyExc_TypeError, "a field is described by a tuple");
        return false;
    }
    if (!PyArg_ParseTuple(description, "IUIppOOp", &number, &key, &kind, &repeated, &presence,
                          &inner, &known, &flat))
        return false;
    if (kind >= KIND_COUNT || number == 0 || number > FIELD_NUMBER_MAX ||
        self->fields[number].exists || (known != Py_None && !PyDict_Check(known)) ||
        (kind == KIND_MESSAGE) != (Py_TYPE(inner) == &decoder_type) ||
        (flat && kind != KIND_MESSAGE)) {
        PyErr_SetString(PyExc_ValueError, "a field of this description cannot be");
        return false;
    }
    struct decode_field *field = &self->fields[number];
    field->exists = true;
    field->kind = (enum kind)kind;
    field->repeated = repeated;
    field->flat = flat;
    Py_INCREF(key);
    PyUnicode_InternInPlace(&key);
    field->key = key;
    field->inner = kind == KIND_MESSAGE ? Py_NewRef(inner) : NULL;
    field->known = known == Py_None ? NULL : Py_NewRef(known);
    self->has_lists |= field->repeated;
    return add_to_template(self, field, presence);
}

static void decoder_dealloc(PyObject *object)
{
    struct decoder *self = (struct decoder *)object;
    for (unsigned i = 0; i <= FIELD_NUMBER_MAX; i++) {
        Py_XDECREF(self->fields[i].key);
        Py_XDECREF(self->fields[i].inner);
        Py_XDECREF(self->fields[i].known);
    }
    Py_XDECREF(self->zone);
    Py_XDECREF(self->template);
    PyMem_Free(self->name);
    Py_TYPE(object)->tp_free(object);
}

static PyObject *decoder_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    const char *name;
    PyObject *zone, *fields;
    (void)keywords;
    if (!PyArg_ParseTuple(arguments, "sOO!", &name, &zone, &PyList_Type, &fields))
        return NULL;
    struct decoder *self = (struct decoder *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->zone = Py_NewRef(zone);
    self->template = PyDict_New();
    self->name = PyMem_Malloc(strlen(name) + 1);
    bool made = self->template && self->name;
    if (!self->name)
        PyErr_NoMemory();
    else
        memcpy(self->name, name, strlen(name) + 1);
    for (Py_ssize_t i = 0; made && i < PyList_GET_SIZE(fields); i++)
        made = read_field(self, PyList_GET_ITEM(fields, i));
    if (!made)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static PyMethodDef methods[] = {
    {"decode", decode, METH_O, "A dict of the message in the bytes."},
    {0},
};

PyTypeObject decoder_type = {
    .ob_base = {PyObject_HEAD_INIT(NULL) 0},
    .tp_name = "chatstore._native.Decoder",
    .tp_basicsize = sizeof(struct decoder),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "Makes dicts of the bytes of one kind of message; see chatstore.codec.PureDecoder.",
    .tp_new = decoder_new,
    .tp_dealloc = decoder_dealloc,
    .tp_methods = methods,
};

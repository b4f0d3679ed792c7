#include "native.h"

#include <string.h>

struct encode_field {
    uint8_t key[5];
    uint8_t key_bytes;
    enum kind kind;
    bool repeated, presence;
    PyObject *name;
    PyObject *inner; /* the encoder of a message, or NULL */
};

struct encoder {
    PyObject_HEAD char *name;
    size_t count;
    struct encode_field *fields;
};

static bool type_error(const struct encoder *self, const struct encode_field *field,
                       const char *wanted, PyObject *value)
{
    PyErr_Format(PyExc_TypeError, "%s: %U must be %s, not %s", self->name, field->name, wanted,
                 Py_TYPE(value)->tp_name);
    return false;
}

static bool read_integer(const struct encoder *self, const struct encode_field *field,
                         PyObject *value, int64_t *result)
{
    if (!PyLong_Check(value))
        return type_error(self, field, "an int", value);
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (number == -1 && PyErr_Occurred())
        return false;
    if (field->kind == KIND_INT32)
        overflow |= number < INT32_MIN || number > INT32_MAX;
    else if (field->kind == KIND_UINT32)
        overflow |= number < 0 || number > UINT32_MAX;
    if (overflow) {
        PyErr_Format(PyExc_ValueError, "%s: %U is out of the range of its type: %S", self->name,
                     field->name, value);
        return false;
    }
    *result = number;
    return true;
}

static bool append_key(const struct encode_field *field, struct out *out)
{
    return out_append(out, field->key, field->key_bytes);
}

static bool append_bytes(const struct encode_field *field, const void *data, Py_ssize_t bytes,
                         bool keep_empty, struct out *out)
{
    if (bytes == 0 && !keep_empty)
        return true;
    return append_key(field, out) && out_varint(out, (uint64_t)bytes) &&
           out_append(out, data, (size_t)bytes);
}

static bool append_text(const struct encoder *self, const struct encode_field *field,
                        PyObject *value, bool keep_empty, struct out *out)
{
    PyObject *made = NULL;
    if (PyLong_Check(value) && !PyBool_Check(value)) {
        made = PyNumber_ToBase(value, 10);
        if (!made)
            return false;
        value = made;
    }
    Py_ssize_t bytes = 0;
    const char *text = NULL;
    if (!PyUnicode_Check(value))
        type_error(self, field, "a str", value);
    else
        text = PyUnicode_AsUTF8AndSize(value, &bytes);
    bool done = text && append_bytes(field, text, bytes, keep_empty, out);
    Py_XDECREF(made);
    return done;
}

static bool append_double(const struct encoder *self, const struct encode_field *field,
                          PyObject *value, bool keep_zero, struct out *out)
{
    if (!PyFloat_Check(value) && !PyLong_Check(value))
        return type_error(self, field, "a number", value);
    double number = PyFloat_AsDouble(value);
    if (number == -1 && PyErr_Occurred())
        return false;
    if (number == 0 && !keep_zero)
        return true;
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    uint8_t little[8];
    for (unsigned i = 0; i < 8; i++)
        little[i] = (uint8_t)(bits >> (8 * i));
    return append_key(field, out) && out_append(out, little, sizeof little);
}

static bool append_message(const struct encode_field *field, PyObject *value, struct out *out)
{
    size_t mark;
    if (!append_key(field, out) || !out_open_length(out, &mark))
        return false;
    if (Py_EnterRecursiveCall(" while a message is encoded"))
        return false;
    bool done = encoder_encode(field->inner, value, out) && out_close_length(out, mark);
    Py_LeaveRecursiveCall();
    return done;
}

/* keep_zero: zero and empty values are written too. */
static bool append_value(const struct encoder *self, const struct encode_field *field,
                         PyObject *value, bool keep_zero, struct out *out)
{
    int64_t number = 0;
    Py_ssize_t bytes;
    char *data;
    switch (field->kind) {
    case KIND_STRING:
        return append_text(self, field, value, keep_zero, out);
    case KIND_BYTES:
        if (!PyBytes_Check(value))
            return type_error(self, field, "bytes", value);
        PyBytes_AsStringAndSize(value, &data, &bytes);
        return append_bytes(field, data, bytes, keep_zero, out);
    case KIND_DOUBLE:
        return append_double(self, field, value, keep_zero, out);
    case KIND_TIMESTAMP:
        return append_key(field, out) && time_encode(value, self->name, field->name, out);
    case KIND_MESSAGE:
        return append_message(field, value, out);
    case KIND_BOOL:
        number = PyObject_IsTrue(value);
        if (number < 0)
            return false;
        break;
    default:
        if (!read_integer(self, field, value, &number))
            return false;
    }
    if (number == 0 && !keep_zero)
        return true;
    return append_key(field, out) && out_varint(out, (uint64_t)number);
}

static bool append_list(const struct encoder *self, const struct encode_field *field,
                        PyObject *values, struct out *out)
{
    PyObject *list = PySequence_Fast(values, "a repeated field wants a sequence");
    if (!list)
        return false;
    bool done = true;
    for (Py_ssize_t i = 0; done && i < PySequence_Fast_GET_SIZE(list); i++)
        done = append_value(self, field, PySequence_Fast_GET_ITEM(list, i), true, out);
    Py_DECREF(list);
    return done;
}

static bool is_known(const struct encoder *self, PyObject *name)
{
    for (size_t i = 0; i < self->count; i++) {
        int equal = PyObject_RichCompareBool(self->fields[i].name, name, Py_EQ);
        if (equal != 0)
            return equal > 0;
    }
    return false;
}

static void refuse_unknown(const struct encoder *self, PyObject *values)
{
    PyObject *name, *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(values, &at, &name, &value)) {
        if (!is_known(self, name)) {
            if (!PyErr_Occurred())
                PyErr_Format(PyExc_TypeError, "%s has no field %S", self->name, name);
            return;
        }
    }
}

bool encoder_encode(PyObject *encoder, PyObject *values, struct out *out)
{
    const struct encoder *self = (const struct encoder *)encoder;
    if (!PyDict_Check(values)) {
        PyErr_Format(PyExc_TypeError, "%s: a dict is wanted, not %s", self->name,
                     Py_TYPE(values)->tp_name);
        return false;
    }
    Py_ssize_t used = 0;
    for (size_t i = 0; i < self->count; i++) {
        const struct encode_field *field = &self->fields[i];
        PyObject *value = PyDict_GetItemWithError(values, field->name);
        if (!value) {
            if (PyErr_Occurred())
                return false;
            continue;
        }
        used++;
        if (field->repeated) {
            if (!append_list(self, field, value, out))
                return false;
        } else if (value == Py_None) {
            if (!field->presence) {
                PyErr_Format(PyExc_TypeError, "%s: %U may not be None", self->name, field->name);
                return false;
            }
        } else if (!append_value(self, field, value, field->presence, out)) {
            return false;
        }
    }
    if (used == PyDict_GET_SIZE(values))
        return true;
    refuse_unknown(self, values);
    return false;
}

/* ---- The type ---- */

static PyObject *encode(PyObject *self, PyObject *values)
{
    struct out out;
    out_init(&out);
    PyObject *bytes = NULL;
    if (encoder_encode(self, values, &out))
        bytes = PyBytes_FromStringAndSize((const char *)out.data, (Py_ssize_t)out.bytes);
    out_fini(&out);
    return bytes;
}

static bool read_field(PyObject *description, struct encode_field *field)
{
    unsigned number, kind;
    int repeated, presence;
    PyObject *name, *inner;
    if (!PyTuple_Check(description)) {
        PyErr_SetString(PyExc_TypeError, "a field is described by a tuple");
        return false;
    }
    if (!PyArg_ParseTuple(description, "IUIppO", &number, &name, &kind, &repeated, &presence,
                          &inner))
        return false;
    if (kind >= KIND_COUNT || number == 0 || number >= 1u << 29 ||
        (kind == KIND_MESSAGE) != (Py_TYPE(inner) == &encoder_type)) {
        PyErr_SetString(PyExc_ValueError, "a field of this description cannot be");
        return false;
    }
    field->kind = (enum kind)kind;
    uint32_t key = number << 3 | (uint32_t)kind_wire(field->kind);
    for (; key >= 0x80; key >>= 7)
        field->key[field->key_bytes++] = (uint8_t)(key | 0x80);
    field->key[field->key_bytes++] = (uint8_t)key;
    field->repeated = repeated;
    field->presence = presence;
    Py_INCREF(name);
    PyUnicode_InternInPlace(&name);
    field->name = name;
    field->inner = kind == KIND_MESSAGE ? Py_NewRef(inner) : NULL;
    return true;
}

static void encoder_dealloc(PyObject *object)
{
    struct encoder *self = (struct encoder *)object;
    for (size_t i = 0; i < self->count; i++) {
        Py_XDECREF(self->fields[i].name);
        Py_XDECREF(self->fields[i].inner);
    }
    PyMem_Free(self->fields);
    PyMem_Free(self->name);
    Py_TYPE(object)->tp_free(object);
}

static PyObject *encoder_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    const char *name;
    PyObject *fields;
    (void)keywords;
    if (!PyArg_ParseTuple(arguments, "sO!", &name, &PyList_Type, &fields))
        return NULL;
    struct encoder *self = (struct encoder *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    size_t count = (size_t)PyList_GET_SIZE(fields);
    self->name = PyMem_Malloc(strlen(name) + 1);
    self->fields = PyMem_Calloc(count + 1, sizeof *self->fields);
    if (!self->name || !self->fields) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    memcpy(self->name, name, strlen(name) + 1);
    for (; self->count < count; self->count++) {
        PyObject *description = PyList_GET_ITEM(fields, (Py_ssize_t)self->count);
        if (!read_field(description, &self->fields[self->count])) {
            Py_DECREF(self);
            return NULL;
        }
    }
    return (PyObject *)self;
}

static PyMethodDef methods[] = {
    {"encode", encode, METH_O, "The bytes of the message that the dict describes."},
    {0},
};

PyTypeObject encoder_type = {
    .ob_base = {PyObject_HEAD_INIT(NULL) 0},
    .tp_name = "chatstore._native.Encoder",
    .tp_basicsize = sizeof(struct encoder),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "Makes the bytes of one kind of message; see chatstore.codec.PureEncoder.",
    .tp_new = encoder_new,
    .tp_dealloc = encoder_dealloc,
    .tp_methods = methods,
};

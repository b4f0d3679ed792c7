#include "native.h"

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "chatstore._native",
    .m_doc = "The codec and the embedded engine of chatstore, in C.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__native(void);

PyMODINIT_FUNC PyInit__native(void)
{
    if (!times_import())
        return NULL;
    PyObject *module = PyModule_Create(&definition);
    if (module &&
        (PyModule_AddType(module, &encoder_type) < 0 ||
         PyModule_AddType(module, &decoder_type) < 0 || PyModule_AddType(module, &engine_type) < 0))
        Py_CLEAR(module);
    return module;
}

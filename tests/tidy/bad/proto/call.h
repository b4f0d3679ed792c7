#include "pool/source.h" /* tidy: include-direction */

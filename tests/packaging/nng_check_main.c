#include "nng_check.h"

int main(void)
{
    return nng_check_run();
}

/* Any text as a configuration: read, reported, printed. */
#include "host.h"

#include "service/config.h"

#include <stdio.h>
#include <stdlib.h>

static FILE *nowhere(void)
{
    static FILE *file;

    if (!file)
        file = fopen("/dev/null", "w");
    if (!file)
        abort();
    return file;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_input input = {.text = (const char *)data,
                                 .bytes = size,
                                 .origin = "fuzz.toml",
                                 .base_dir = "/nowhere",
                                 .check_files = false};
    struct config *config = NULL;
    struct config_report *report = NULL;
    enum config_status status = config_parse(&input, &config, &report);

    if (report)
        config_report_print(report, nowhere());
    if ((status == CONFIG_OK) != (config != NULL) || status == CONFIG_NO_MEMORY ||
        status == CONFIG_NO_INPUT)
        abort();
    if (config)
        config_print(config, nowhere());
    config_report_free(report);
    config_free(config);
    return 0;
}

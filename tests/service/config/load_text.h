/* For the tests of the configuration: load a text, and look for a finding. */
#ifndef CHATSTORE_TESTS_CONFIG_LOAD_TEXT_H
#define CHATSTORE_TESTS_CONFIG_LOAD_TEXT_H

#include "service/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct loaded {
    enum config_status status;
    struct config *config;
    struct config_report *report;
};

/* As if read from /base/test.toml; looks at no files. */
static inline struct loaded load_text(const char *text)
{
    struct loaded loaded;
    struct config_input input = {text, strlen(text), "test.toml", "/base", false};
    loaded.status = config_parse(&input, &loaded.config, &loaded.report);
    return loaded;
}

static inline void loaded_free(struct loaded *loaded)
{
    config_free(loaded->config);
    config_report_free(loaded->report);
}

/* Must load without any finding. */
static inline struct loaded load_clean(const char *text)
{
    struct loaded loaded = load_text(text);
    if (loaded.report->count > 0)
        config_report_print(loaded.report, stderr);
    assert_int_equal(loaded.report->count, 0);
    assert_int_equal(loaded.status, CONFIG_OK);
    assert_non_null(loaded.config);
    return loaded;
}

static inline const struct config_finding *find_text(const struct config_report *report,
                                                     const char *fragment)
{
    for (size_t i = 0; i < report->count; i++)
        if (strstr(report->findings[i].text, fragment))
            return &report->findings[i];
    return NULL;
}

#endif

/* Inside of config*.c: readers of the keys whose values are more than one value. `base` is the
 * struct config_form. */
#ifndef CHATSTORE_SERVICE_CONFIG_READ_H
#define CHATSTORE_SERVICE_CONFIG_READ_H

#include "service/toml.h"

struct config_reader;

void config_read_sources(struct config_reader *reader, const struct toml_node *node, void *base);
void config_read_mapping(struct config_reader *reader, const struct toml_node *node, void *base);
void config_read_listen(struct config_reader *reader, const struct toml_node *node, void *base);

#endif

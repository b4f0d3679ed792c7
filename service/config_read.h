/* Inside of config*.c: readers of the keys whose values are more than one value. `base` is the
 * struct config_form. */
#ifndef CHATSTORE_SERVICE_CONFIG_READ_H
#define CHATSTORE_SERVICE_CONFIG_READ_H

#include "service/toml.h"

#include <stdbool.h>

struct config_reader;
struct config_section;
struct form_list;

void config_read_sources(struct config_reader *reader, const struct toml_node *node, void *base);
void config_read_mapping(struct config_reader *reader, const struct toml_node *node, void *base);
void config_read_listen(struct config_reader *reader, const struct toml_node *node, void *base);
void config_read_clients(struct config_reader *reader, const struct toml_node *node, void *base);

/* `base` is the struct form_client. */
void config_read_client_read(struct config_reader *reader, const struct toml_node *node,
                             void *base);
void config_read_client_write(struct config_reader *reader, const struct toml_node *node,
                              void *base);
void config_read_client_chats(struct config_reader *reader, const struct toml_node *node,
                              void *base);

/* Shared by the readers. False, and reported: the value is of another type. */
bool config_expect(struct config_reader *reader, const struct toml_node *node, enum toml_type type,
                   const char *wanted);

/* Each key of the table by its row of the section, into `base`. */
void config_read_section(struct config_reader *reader, const struct config_section *section,
                         const struct toml_node *table, void *base);

/* An array of non-empty strings; `what` it is, for the message. */
void config_read_list(struct config_reader *reader, const struct toml_node *node, const char *what,
                      struct form_list *list);

#endif

/* What a program does once with SQLite itself, before the first source is opened. */
#ifndef CHATSTORE_POOL_SQLITE_H
#define CHATSTORE_POOL_SQLITE_H

/* For programs of ours alone (not in a bot's process, which may use SQLite too): no memory
 * statistics, whose lock all threads would share. */
void sqlite_configure_process(void);

#endif

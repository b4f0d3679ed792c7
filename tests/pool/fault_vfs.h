/* A layer over SQLite's files that fails on demand: a full disk, a failed sync, a process that dies
 * in the middle of writing. */
#ifndef CHATSTORE_TESTS_POOL_FAULT_VFS_H
#define CHATSTORE_TESTS_POOL_FAULT_VFS_H

enum fault_operation {
    FAULT_READ,
    FAULT_WRITE, /* and truncating; half of what is to be written is, unless the disk is full */
    FAULT_SYNC,
    FAULT_OPEN,
    FAULT_DELETE,
    FAULT_SHARE, /* the memory that processes share */
    FAULT_OPERATIONS
};

/* As SQLite's error to fail with: the process ends instead, as kill -9 ends it. */
#define FAULT_EXIT (-1)

/* All connections that are opened from now on go through it. */
void fault_vfs_install(void);
/* The first `spared` operations of that kind work; those behind fail with `error`. */
void fault_arm(enum fault_operation operation, unsigned spared, int error);
/* The same, but only one of them fails. */
void fault_arm_once(enum fault_operation operation, unsigned spared, int error);
void fault_clear(void);
/* How many have failed since one was armed. */
unsigned fault_count(void);

#endif

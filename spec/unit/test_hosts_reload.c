/* Plugin hosts' tables: files that are wrong, that change and that go, and who shares a table. */
#define _GNU_SOURCE
#include "hosts_table.h"

/* As the reload thread does it: an online reader does not wait for a grace period. */
static int refresh(luna_hosts *h)
{
    rcu_thread_offline();
    int rc = luna_hosts_refresh(h, err, sizeof err);
    rcu_thread_online();
    return rc;
}

static void says_what_is_wrong_with_a_file(void **state)
{
    (void)state;
    char wanted[PATH_MAX * 3];
    const char *path = path_of("nothing");
    luna_hosts *h = luna_hosts_open("", path, "10.0.0.1 a", NULL, 0, 0, 0, err, sizeof err);
    assert_non_null(h);
    snprintf(wanted, sizeof wanted, "File does not exist: %s", path);
    assert_string_equal(err, wanted);
    expect(h, "a", A, "A 10.0.0.1");
    luna_hosts_close(h);

    h = luna_hosts_open("", dir, "10.0.0.1 a", NULL, 0, 0, 0, err, sizeof err);
    assert_non_null(h);
    snprintf(wanted, sizeof wanted, "Hosts file \"%s\" is a directory", dir);
    assert_string_equal(err, wanted);
    expect(h, "a", A, "A 10.0.0.1");
    luna_hosts_close(h);

    write_file("file", "");
    path = path_of("file/below");
    assert_null(luna_hosts_open("", path, "", NULL, 0, 0, 0, err, sizeof err));
    snprintf(wanted, sizeof wanted, "unable to access hosts file '%s': stat %s: not a directory",
             path, path);
    assert_string_equal(err, wanted);
}

static void equal_arguments_share_a_table(void **state)
{
    (void)state;
    const char *path = write_file("shared", "10.0.0.1 a\n");
    static const uint8_t org[] = "\3org", net[] = "\3net";
    luna_hosts *h = luna_hosts_open("k", path, "10.0.0.2 b", org, 1, 0, 0, err, sizeof err);
    assert_ptr_equal(luna_hosts_open("k", path, "10.0.0.2 b", org, 1, 0, 0, err, sizeof err), h);
    luna_hosts *other[] = {
        luna_hosts_open("k", path, "10.0.0.2 b", net, 1, 0, 0, err, sizeof err),
        luna_hosts_open("k", path, "10.0.0.2 c", org, 1, 0, 0, err, sizeof err),
        luna_hosts_open("k", path, "10.0.0.2 b", org, 1, 0, 1, err, sizeof err),
        luna_hosts_open("k", path, "10.0.0.2 b", org, 1, 60, 0, err, sizeof err),
        luna_hosts_open("k", "", "10.0.0.2 b", org, 1, 0, 0, err, sizeof err),
    };
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        assert_non_null(other[i]);
        assert_ptr_not_equal(other[i], h);
        luna_hosts_close(other[i]);
    }
    luna_hosts_close(h);
    expect(h, "a", A, NULL); /* outside org; one reference is left */
    luna_hosts_close(h);
}

static void reloads_by_content(void **state)
{
    (void)state;
    const char *path = write_file("reload", "10.0.0.1 a\n");
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    luna_hosts *h = open_file(path, 0);
    expect(h, "a", A, "A 10.0.0.1");
    luna_hosts_table *table = h->file;

    assert_int_equal(refresh(h), LUNA_NONE);
    write_file("reload", "10.0.0.1 a\n"); /* another time, the same content */
    assert_int_equal(refresh(h), LUNA_NONE);
    assert_ptr_equal(h->file, table);

    write_file("reload", "10.0.0.2 a\n");
    assert_int_equal(refresh(h), LUNA_OK);
    expect(h, "a", A, "A 10.0.0.2");
    expect(h, "1.0.0.10.in-addr.arpa", PTR, NULL);

    unlink(copy);
    assert_int_equal(refresh(h), LUNA_E_SYSTEM);
    expect(h, "a", A, "A 10.0.0.2");
    mkdir(copy, 0700);
    assert_int_equal(refresh(h), LUNA_E_SYSTEM);
    expect(h, "a", A, "A 10.0.0.2");
    rmdir(copy);
    mkfifo(copy, 0600);
    assert_int_equal(refresh(h), LUNA_NONE);
    expect(h, "a", A, "A 10.0.0.2");
    unlink(copy);

    write_file("reload", "");
    assert_int_equal(refresh(h), LUNA_OK);
    expect(h, "a", A, NULL);
    write_file("reload", "10.0.0.3 a\n");
    luna_hosts *again = open_file(copy, 0); /* a reload of the Corefile looks too */
    assert_ptr_equal(again, h);
    expect(h, "a", A, "A 10.0.0.3");
    luna_hosts_close(again);
    luna_hosts_close(h);
}

/* A ConfigMap: hosts -> ..data/hosts, ..data -> a directory, which is replaced. */
static void follows_a_swapped_link(void **state)
{
    (void)state;
    char link[PATH_MAX], next[PATH_MAX], file[PATH_MAX];
    mkdir(path_of("one"), 0700);
    mkdir(path_of("two"), 0700);
    write_file("one/hosts", "10.0.0.1 a\n");
    write_file("two/hosts", "10.0.0.2 a\n");
    /* The same size and time: only the inode tells. */
    struct timespec times[2] = {{1000000000, 0}, {1000000000, 0}};
    utimensat(AT_FDCWD, path_of("one/hosts"), times, 0);
    utimensat(AT_FDCWD, path_of("two/hosts"), times, 0);
    snprintf(link, sizeof link, "%s", path_of("..data"));
    snprintf(next, sizeof next, "%s", path_of("..next"));
    assert_int_equal(symlink("one", link), 0);
    snprintf(file, sizeof file, "%s", path_of("..data/hosts"));
    luna_hosts *h = open_file(file, 0);
    expect(h, "a", A, "A 10.0.0.1");
    assert_int_equal(symlink("two", next), 0);
    assert_int_equal(rename(next, link), 0);
    assert_int_equal(refresh(h), LUNA_OK);
    expect(h, "a", A, "A 10.0.0.2");
    luna_hosts_close(h);
}

/* Lets what waits for a grace period go on until the address is there; fails after ten seconds. */
static void await_address(luna_hosts *h, const char *name, const char *wanted)
{
    for (int i = 0; i < 10000; i++) {
        rcu_quiescent_state();
        if (luna_hosts_answer(h, ask(name, A), 77) == LUNA_OK && !strcmp(records(), wanted))
            return;
        rcu_thread_offline();
        nanosleep(&(struct timespec){0, 1000000}, NULL);
        rcu_thread_online();
    }
    fail_msg("%s has not become %s", name, wanted);
}

static void thread_looks_at_every_file(void **state)
{
    (void)state;
    char later[PATH_MAX];
    luna_hosts *one = open_file(write_file("t1", "10.0.0.1 a\n"), 1);
    snprintf(later, sizeof later, "%s", path_of("t2"));
    luna_hosts *two = open_file(later, 1); /* not there yet */
    write_file("t1", "10.0.0.11 a\n");
    write_file("t2", "10.0.0.12 a\n");
    await_address(one, "a", "A 10.0.0.11");
    await_address(two, "a", "A 10.0.0.12");
    luna_hosts_close(one);
    write_file("t2", "10.0.0.13 a\n");
    await_address(two, "a", "A 10.0.0.13");
    luna_hosts_close(two);
}

static atomic_bool stop_readers;

static void *reader(void *arg)
{
    luna_hosts *h = arg;
    uint8_t buffer[4096], question[32] = {0};
    static const uint8_t name[] = "\1a";
    luna_query q = {.qtype = A, .qclass = 1, .name_len = 3, .labels = 1};
    question[5] = 1;
    memcpy(question + 12, name, 3);
    question[16] = question[18] = 1;
    memcpy(q.name, name, 3);
    q.label[1] = 2;
    q.hash = luna_name_hash(name, 3);
    q.packet = question;
    q.packet_len = 19;
    q.reply = buffer;
    q.reply_cap = sizeof buffer;
    rcu_register_thread();
    uintptr_t missed = 0;
    while (!atomic_load(&stop_readers)) {
        q.reply_len = 0;
        missed += luna_hosts_answer(h, &q, 1) != LUNA_OK;
        rcu_quiescent_state();
    }
    rcu_unregister_thread();
    return (void *)missed;
}

static void readers_never_miss_during_reloads(void **state)
{
    (void)state;
    luna_hosts *h = open_file(write_file("busy", "10.0.0.1 a\n"), 0);
    pthread_t threads[2];
    atomic_store(&stop_readers, false);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader, h), 0);
    for (int i = 0; i < 200; i++) {
        char line[64];
        snprintf(line, sizeof line, "10.0.0.%d a\n", i);
        write_file("busy", line);
        assert_int_equal(refresh(h), LUNA_OK);
    }
    atomic_store(&stop_readers, true);
    for (int i = 0; i < 2; i++) {
        void *missed;
        pthread_join(threads[i], &missed);
        assert_null(missed);
    }
    luna_hosts_close(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_is_wrong_with_a_file),
        cmocka_unit_test(equal_arguments_share_a_table),
        cmocka_unit_test(reloads_by_content),
        cmocka_unit_test(follows_a_swapped_link),
        cmocka_unit_test(thread_looks_at_every_file),
        cmocka_unit_test(readers_never_miss_during_reloads),
    };
    return cmocka_run_group_tests_name("hosts reload", tests, begin, end);
}

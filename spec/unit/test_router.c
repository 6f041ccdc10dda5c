/* Which site answers a name: src/server/router.c. CoreDNS 1.6. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include "query.h"
#include "../../src/server/router.h"

enum { A = 1, DS = 43, CH = 3, REST = 900 };

static luna_name name(const char *text)
{
    luna_name n;
    assert_int_equal(luna_name_parse(text, strlen(text), &n), 0);
    return n;
}

static int add(luna_router *r, const char *zone, int site, int any_class)
{
    luna_name n = name(zone);
    return luna_router_add(r, &n, site, any_class);
}

static int find_as(const luna_router *r, const char *text, uint16_t qtype, uint16_t qclass)
{
    luna_query *q = spec_query(LUNA_UDP, text, qtype, NULL);
    q->qclass = qclass;
    int site = luna_router_find(r, q);
    spec_free(q);
    return site;
}

static int find(const luna_router *r, const char *text)
{
    return find_as(r, text, A, 1);
}

static void the_longest_zone_answers(void **state)
{
    luna_router *r = luna_router_new();
    (void)state;
    add(r, "example.org.", 1, 0);
    add(r, "a.example.org.", 2, 0);
    add(r, "c.b.example.org.", 3, 0);
    assert_int_equal(find(r, "example.org"), 1);
    assert_int_equal(find(r, "www.example.org"), 1);
    assert_int_equal(find(r, "b.example.org"), 1);
    assert_int_equal(find(r, "a.example.org"), 2);
    assert_int_equal(find(r, "x.y.A.Example.ORG"), 2);
    assert_int_equal(find(r, "c.b.example.org"), 3);
    assert_int_equal(find(r, "d.c.b.example.org"), 3);
    assert_int_equal(find(r, "ba.example.org"), 1);
    assert_int_equal(find(r, "badexample.org"), LUNA_ROUTE_REFUSED);
    assert_int_equal(find(r, "org"), LUNA_ROUTE_REFUSED);
    assert_int_equal(find(r, "."), LUNA_ROUTE_REFUSED);
    luna_router_free(r);
}

static void the_root_takes_what_is_left(void **state)
{
    luna_router *r = luna_router_new();
    (void)state;
    assert_int_equal(find(r, "example.org"), LUNA_ROUTE_REFUSED);
    add(r, ".", 7, 0);
    assert_int_equal(find(r, "example.org"), 7);
    assert_int_equal(find(r, "."), 7);
    add(r, "example.org.", 1, 0);
    assert_int_equal(find(r, "www.example.org"), 1);
    assert_int_equal(find(r, "www.example.net"), 7);
    luna_router_free(r);
}

static void a_zone_is_given_once(void **state)
{
    luna_router *r = luna_router_new();
    (void)state;
    assert_int_equal(add(r, "example.org.", 1, 0), 0);
    assert_int_equal(add(r, "Example.ORG.", 2, 0), LUNA_E_FORMAT);
    assert_int_equal(add(r, ".", 3, 0), 0);
    assert_int_equal(add(r, ".", 4, 0), LUNA_E_FORMAT);
    assert_int_equal(find(r, "example.org"), 1);
    assert_int_equal(find(r, "x"), 3);
    luna_router_free(r);
}

/* The parent answers for DS: the shortest zone that is served, as in CoreDNS; not the root. */
static void ds_is_the_parents(void **state)
{
    luna_router *r = luna_router_new();
    (void)state;
    add(r, ".", 1, 0);
    add(r, "example.org.", 2, 0);
    add(r, "sub.example.org.", 3, 0);
    assert_int_equal(find_as(r, "sub.example.org", DS, 1), 2);
    assert_int_equal(find_as(r, "x.sub.example.org", DS, 1), 2);
    assert_int_equal(find_as(r, "example.org", DS, 1), 2);
    assert_int_equal(find_as(r, "org", DS, 1), 1);
    assert_int_equal(find_as(r, "sub.example.org", A, 1), 3);
    luna_router_free(r);
}

static void other_classes_are_refused(void **state)
{
    luna_router *r = luna_router_new();
    (void)state;
    add(r, "a.", 1, 0);
    add(r, "b.", 2, 1);
    assert_int_equal(find_as(r, "x.a", A, CH), LUNA_ROUTE_REFUSED);
    assert_int_equal(find_as(r, "x.b", A, CH), 2);
    assert_int_equal(find_as(r, "x.b", A, 255), 2);
    luna_router_free(r);
}

static void what_no_zone_takes_has_a_site(void **state)
{
    luna_router *r = luna_router_new();
    (void)state;
    add(r, "a.", 1, 0);
    luna_router_set_rest(r, REST);
    assert_int_equal(find(r, "x.a"), 1);
    assert_int_equal(find(r, "x.b"), REST);
    assert_int_equal(find(r, "."), REST);
    assert_int_equal(find_as(r, "x.a", A, CH), REST);
    luna_router_free(r);
}

static void many_zones(void **state)
{
    enum { N = 5000 };
    luna_router *r = luna_router_new();
    char text[64];
    (void)state;
    for (int i = 0; i < N; i++) {
        snprintf(text, sizeof text, "n%d.%s.test.", i, i % 2 ? "odd" : "even.deep");
        assert_int_equal(add(r, text, i, 0), 0);
    }
    for (int i = 0; i < N; i++) {
        snprintf(text, sizeof text, "www.n%d.%s.test.", i, i % 2 ? "odd" : "even.deep");
        assert_int_equal(find(r, text), i);
    }
    assert_int_equal(find(r, "n5001.odd.test"), LUNA_ROUTE_REFUSED);
    luna_router_free(r);
}

/* The longest name, in as many labels as there can be. */
static void the_longest_names(void **state)
{
    luna_router *r = luna_router_new();
    char text[260];
    (void)state;
    for (int i = 0; i < 127; i++)
        memcpy(text + 2 * i, "a.", 2);
    text[254] = 0;
    add(r, text, 1, 0);
    add(r, text + 2, 2, 0);
    assert_int_equal(find(r, text), 1);
    text[0] = 'b';
    assert_int_equal(find(r, text), 2);
    assert_int_equal(find(r, text + 4), LUNA_ROUTE_REFUSED);
    luna_router_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_zone_answers),
        cmocka_unit_test(the_root_takes_what_is_left),
        cmocka_unit_test(a_zone_is_given_once),
        cmocka_unit_test(ds_is_the_parents),
        cmocka_unit_test(other_classes_are_refused),
        cmocka_unit_test(what_no_zone_takes_has_a_site),
        cmocka_unit_test(many_zones),
        cmocka_unit_test(the_longest_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Whose turn it is among the connections of a client that has as much under way as it may. */
#include "connection.h"

void luna_conn_hold(luna_conn *c)
{
    luna_share *s = c->share;
    if (c->held)
        return;
    luna_count(c->t->w, c->t->held_series);
    c->held = true;
    c->resumed = false;
    c->next_held = NULL;
    c->prev_held = s->last;
    *(s->last ? &s->last->next_held : &s->first) = c;
    s->last = c;
}

void luna_conn_unhold(luna_conn *c)
{
    luna_share *s = c->share;
    *(c->prev_held ? &c->prev_held->next_held : &s->first) = c->next_held;
    *(c->next_held ? &c->next_held->prev_held : &s->last) = c->prev_held;
    c->held = false;
}

/* One at a time, each lets the next one go when it has read or ended: were all of a thousand to
 * read at once, all but the first would only keep in memory what they cannot hand on. */
static void resume_next(luna_share *s)
{
    luna_conn *c = s->first;
    if (!c || s->in_flight >= CLIENT_IN_FLIGHT)
        return;
    luna_conn_unhold(c);
    c->resumed = true;
    luna_conn_mark_dirty(c);
}

void luna_conn_had_turn(luna_conn *c)
{
    if (!c->resumed)
        return;
    c->resumed = false;
    resume_next(c->share);
}

void luna_conn_query_begins(luna_conn *c)
{
    c->in_flight++;
    c->share->in_flight++;
}

void luna_conn_query_ends(luna_conn *c)
{
    c->in_flight--;
    c->share->in_flight--;
    resume_next(c->share);
}

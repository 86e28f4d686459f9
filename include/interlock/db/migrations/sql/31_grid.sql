-- The grid: the state of many partitions at once, a letter each. A hundred datasets over a thousand days are a hundred
-- thousand states: asked one by one, with their reasons, they would take the better part of a minute.

create function interlock.letter_of(state text) returns text
language sql immutable parallel safe
return case state
  when 'safe' then 's' when 'unsafe' then 'u' when 'quarantined' then 'q' when 'rebuilding' then 'r' when 'checking' then 'c'
  else '?' end;

-- As one document, so that all of it is of one instant. `states` of a dataset begin with the newest day that is shown of
-- any, and have a dot for each day of which nothing is known; of null domains, all of them.
create function interlock.grid(of_domains text[], days integer, before date) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  at timestamptz := interlock.now();
  newest date := (
    select max(n.day) from interlock.dataset d
    cross join lateral (
      select max(p.starts_on) as day from interlock.partition p
      where p.dataset_id = d.dataset_id and (grid.before is null or p.starts_on < grid.before)) as n
    where (of_domains is null or d.domain = any (of_domains)) and d.retired_at is null);
begin
  return (
    with used as materialized (
      select d.dataset_id, d.name, d.domain, d.layer, d.lease_until, coalesce(d.lease_until > at, false) as is_leased,
        array(select c.partition from interlock.claim c where c.domain = d.domain and c.expires_at > clock_timestamp()) as claimed
      from interlock.dataset d
      where (of_domains is null or d.domain = any (of_domains)) and d.retired_at is null
    ),
    -- Most datasets have every day between their first and their last: only where some are missing is each looked for.
    line as (
      select u.dataset_id, f.oldest,
        case when f.number = f.last - f.oldest + 1 then repeat('.', newest - f.last) || f.states
        else (
          select string_agg(case when p.partition is null then '.'
              else interlock.letter_of(interlock.state_of(p, false, u.is_leased, p.partition = any (u.claimed))) end, '' order by back)
          from generate_series(0, newest - f.oldest) as back
          left join interlock.partition p on p.dataset_id = u.dataset_id and p.starts_on = newest - back)
        end as states
      from used u
      cross join lateral (
        select count(*) as number, min(p.starts_on) as oldest, max(p.starts_on) as last,
          string_agg(interlock.letter_of(interlock.state_of(p, false, u.is_leased, p.partition = any (u.claimed))), ''
            order by p.starts_on desc) as states
        from interlock.partition p
        where p.dataset_id = u.dataset_id and p.starts_on <= newest and p.starts_on > newest - grid.days
      ) as f
      where f.number > 0
    ),
    whole as (
      select p.dataset_id, interlock.state_of(p, false, u.is_leased, u.claimed <> '{}') as state
      from used u join interlock.partition p on p.dataset_id = u.dataset_id and p.partition = 'all'
    ),
    earlier as (
      select e.dataset_id, jsonb_object_agg(e.state, e.number) as counts
      from (
        select p.dataset_id, interlock.state_of(p, false, u.is_leased, false) as state, count(*) as number
        from used u join interlock.partition p on p.dataset_id = u.dataset_id and p.starts_on <= newest - grid.days
        group by 1, 2
      ) as e
      group by e.dataset_id
    ),
    -- What is wrong for a reason of its own, and not because of something upstream.
    trouble as (
      select u.name, p.withdrawn_at is not null as is_withdrawn, count(distinct p.partition) as number,
        min(p.partition) as first, max(p.partition) as last, (array_agg(x.message order by p.partition desc, x.cause_id))[1] as reason
      from used u
      join interlock.cause x on x.dataset_id = u.dataset_id and x.cleared_at is null and cardinality(x.path) <= 1
      join interlock.partition p on p.dataset_id = x.dataset_id and p.partition = x.partition
      group by 1, 2
    )
    select jsonb_build_object(
      'newest', newest,
      'oldest', (select min(l.oldest) from line l),
      'rows', (
        select coalesce(jsonb_agg(jsonb_build_object(
            'dataset', u.name, 'domain', u.domain, 'layer', u.layer, 'states', coalesce(l.states, ''), 'all', w.state,
            'earlier', coalesce(e.counts, '{}'))
          order by u.domain, array_position(array['raw', 'staged', 'curated'], u.layer), u.name), '[]')
        from used u
        left join line l using (dataset_id) left join whole w using (dataset_id) left join earlier e using (dataset_id)),
      'troubles', (
        select coalesce(jsonb_agg(jsonb_build_object(
            'dataset', t.name, 'first', t.first, 'last', t.last, 'count', t.number, 'reason', t.reason,
            'state', case when t.is_withdrawn then 'quarantined' else 'unsafe' end)
          order by t.last desc, t.name), '[]')
        from trouble t),
      'standstills', (
        select coalesce(jsonb_agg(to_jsonb(s) order by s.since), '[]') from interlock.standstill s
        where of_domains is null or s.domain = any (of_domains || '*'::text)),
      'as_of', at,
      'valid_until', (select min(u.lease_until) from used u where u.is_leased),
      'clock_offset_seconds', (select extract(epoch from k.offset_from_real) from interlock.clock k),
      'feed_position', (select h.position from interlock.audit_head h)));
end;
$$;

grant execute on function interlock.grid to interlock_consumer, interlock_developer, interlock_operator, interlock_auditor;

-- Versions are derived from all snapshots together, never from what an earlier run wrote: a snapshot that
-- arrives late, or again, gives the same table whatever the order of the runs.
with

aircraft as (

    select * from {{ ref('stg_flight_operations__aircraft') }}

),

snapshot_dates as (

    select distinct snapshot_date from aircraft

),

snapshots as (

    select
        snapshot_date,
        lag(snapshot_date) over (order by snapshot_date) as previous_snapshot_date,
        lead(snapshot_date) over (order by snapshot_date) as next_snapshot_date
    from snapshot_dates

),

described as (

    select
        aircraft.*,
        snapshots.previous_snapshot_date,
        snapshots.next_snapshot_date,
        row(
            aircraft.manufactured_year,
            aircraft.aircraft_type,
            aircraft.manufacturer,
            aircraft.model,
            aircraft.engine_count,
            aircraft.seat_count,
            aircraft.cruising_speed_mph,
            aircraft.engine_type
        )::text as description
    from aircraft
    inner join snapshots on aircraft.snapshot_date = snapshots.snapshot_date

),

previous as (

    select
        *,
        lag(snapshot_date) over history as last_seen_on,
        lag(description) over history as last_description
    from described
    window history as (partition by tail_number order by snapshot_date)

),

-- A version begins where the snapshot before shows the aircraft otherwise, or not at all.
compared as (

    select
        *,
        not coalesce(last_seen_on = previous_snapshot_date and last_description = description, false)
            as is_first_of_version
    from previous

),

numbered as (

    select
        *,
        count(*) filter (where is_first_of_version) over history as version_number
    from compared
    window history as (partition by tail_number order by snapshot_date)

),

-- It ends with the first snapshot that no longer shows it; the latest snapshot has none after it.
versions as (

    select
        tail_number,
        min(snapshot_date) as valid_from,
        case when not bool_or(next_snapshot_date is null) then max(next_snapshot_date) end as valid_to,
        bool_or(next_snapshot_date is null) as is_current,
        manufactured_year,
        aircraft_type,
        manufacturer,
        model,
        engine_count,
        seat_count,
        cruising_speed_mph,
        engine_type
    from numbered
    group by
        tail_number,
        version_number,
        manufactured_year,
        aircraft_type,
        manufacturer,
        model,
        engine_count,
        seat_count,
        cruising_speed_mph,
        engine_type

),

unknown_member as (

    select
        'UNKNOWN' as tail_number,
        date '1900-01-01' as valid_from,
        null::date as valid_to,
        true as is_current,
        null::int as manufactured_year,
        'Unknown' as aircraft_type,
        'Unknown' as manufacturer,
        'Unknown' as model, -- noqa: RF04
        null::int as engine_count,
        null::int as seat_count,
        null::int as cruising_speed_mph,
        'Unknown' as engine_type

),

members as (

    select * from versions

    union all

    select * from unknown_member

),

final as (

    select
        tail_number,
        valid_from,
        valid_to,
        is_current,
        manufactured_year,
        aircraft_type,
        manufacturer,
        model,
        engine_count,
        seat_count,
        cruising_speed_mph,
        engine_type,
        md5(tail_number || '|' || to_char(valid_from, 'YYYY-MM-DD')) as aircraft_key
    from members

)

select * from final

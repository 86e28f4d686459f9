with

source as (

    select * from {{ source('flight_operations', 'aircraft') }}

),

-- A snapshot that is delivered again is a correction of the whole snapshot: it may also leave rows out.
last_loads as (

    select
        *,
        max(_load_id) over (partition by _delivered_on) as last_load_id
    from source

),

final as (

    select
        tailnum as tail_number,
        _delivered_on as snapshot_date,
        {{ null_if_absent('year') }}::int as manufactured_year,
        type as aircraft_type,
        manufacturer,
        model,
        engines::int as engine_count,
        seats::int as seat_count,
        {{ null_if_absent('speed') }}::int as cruising_speed_mph,
        engine as engine_type
    from last_loads
    where _load_id = last_load_id

)

select * from final

with

source as (

    select * from {{ source('trips', 'legs') }}

),

kept as (

    {{ deduplicated('source', ['year', 'month', 'day', 'carrier', 'flight', 'origin']) }}

),

final as (

    select
        make_date(year::int, month::int, day::int) as leg_date,
        carrier,
        flight::int as flight,
        origin,
        {{ null_if_absent('dep_delay') }}::int as delay_minutes,
        _load_id as load_id,
        _row_number as row_number
    from kept

)

select * from final

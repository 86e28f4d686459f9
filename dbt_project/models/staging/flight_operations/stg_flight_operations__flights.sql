with

source as (

    select * from {{ source('flight_operations', 'flights') }}

),

kept as (

    {{ deduplicated('source', ['year', 'month', 'day', 'carrier', 'flight', 'origin']) }}

),

final as (

    select
        make_date(year::int, month::int, day::int) as flight_date,
        carrier as carrier_code,
        flight::int as flight_number,
        origin as origin_code,
        dest as destination_code,
        {{ null_if_absent('tailnum') }} as tail_number,

        sched_dep_time::int as scheduled_departure_clock,
        sched_arr_time::int as scheduled_arrival_clock,
        {{ null_if_absent('dep_time') }}::int as departure_clock,
        {{ null_if_absent('arr_time') }}::int as arrival_clock,
        {{ null_if_absent('dep_delay') }}::int as departure_delay_minutes,
        {{ null_if_absent('arr_delay') }}::int as arrival_delay_minutes,
        {{ null_if_absent('air_time') }}::int as air_time_minutes,
        distance::int as distance_miles,
        time_hour::timestamptz as scheduled_hour_at,

        _load_id as load_id,
        _row_number as row_number
    from kept

)

select * from final

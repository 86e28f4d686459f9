-- The producer gives the scheduled hour in UTC and the clock at departure: both must follow from the instants.
with

flights as (

    select * from {{ ref('fct_flights') }}

),

staged as (

    select * from {{ ref('stg_flight_operations__flights') }}

),

airports as (

    select * from {{ ref('dim_airports') }}

),

readings as (

    select
        flights.flight_date,
        flights.carrier_code,
        flights.flight_number,
        flights.origin_code,
        flights.scheduled_departure_at,
        flights.departed_at,
        airports.time_zone,
        staged.scheduled_hour_at,
        flights.departed_at at time zone airports.time_zone as expected_reading,
        {{ clock_interval('staged.departure_clock % 2400') }} as reading
    from flights
    inner join staged
        on
            flights.flight_date = staged.flight_date
            and flights.carrier_code = staged.carrier_code
            and flights.flight_number = staged.flight_number
            and flights.origin_code = staged.origin_code
    left join airports on flights.origin_code = airports.airport_code

)

select *
from readings
where
    date_trunc('hour', scheduled_departure_at, 'UTC') <> scheduled_hour_at
    or (
        date_trunc('day', expected_reading) + reading <> expected_reading
        and (date_trunc('day', expected_reading) + reading) at time zone time_zone <> departed_at
    )

with

source as (

    select * from {{ source('flight_operations', 'airports') }}

),

final as (

    select
        faa as airport_code,
        name as airport_name,
        lat::double precision as latitude,
        lon::double precision as longitude,
        alt::int as altitude_feet,
        {{ null_if_absent('tzone') }} as time_zone,
        {{ null_if_absent('tz') }}::int as utc_offset_hours
    from source

)

select * from final
